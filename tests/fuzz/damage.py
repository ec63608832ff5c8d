"""Damage by seeded draws: bytes go, come twice, or become something that parsers stumble over."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: Fragments that stand for something in one format or another.
ODD = (
    b"\0", b"\xff", b'"', b"'", b",", b"\n", b"\r", b"@data\n", b"@", b"?", b":", b"nan", b"inf", b"1e999",
    b"-", b"{", b"}", b"(", b")", b"[", b"]", b"\\", b"%", b" ", b"\t", b"_", b"9" * 30,
    b"@dimension 99999999\n", b"@attribute x relational\n", b"\xef\xbb\xbf", b"null", b"true", b"NaN",
    b"\\ud800", b"\\u0000", b"../",
    b"/etc/passwd", b"[" * 2000, b'{"a":' * 600, b"9" * 5000, b"-1", b"0", b"<script>", b"%00",
    b"%2e%2e%2f", b"&", b"=", b";", b"--", b"\xf0\x9f\x92\xa9",
)  # fmt: skip


def damaged(rng: random.Random, whole: bytes, odd: Sequence[bytes] = ODD) -> bytes:
    """`whole`, changed at one to six places."""
    content = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        start = rng.randrange(len(content) + 1)
        stop = min(len(content), start + rng.choice([1, 1, 2, 5, 20]))
        match rng.randrange(6):
            case 0:
                del content[start:stop]
            case 1:
                content[start:start] = rng.choice(odd)
            case 2:
                content[start:stop] = rng.choice(odd)
            case 3:
                content[start:start] = content[start:stop] * rng.choice([1, 2, 10])
            case 4 if stop > start:
                content[start] = rng.randrange(256)
            case _ if rng.random() < 0.3:
                del content[start:]
    return bytes(content)


def case(target: str, number: int, seeds: Sequence[bytes]) -> bytes:
    """The content of one case of a target: the same on every machine."""
    rng = random.Random(f"{target} {number}")
    return damaged(rng, rng.choice(seeds))
