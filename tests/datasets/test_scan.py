"""The pass over a file's bytes: what it finds, wherever the chunks are cut."""

from __future__ import annotations

import pytest

from workbench.datasets.importers import Source, text_file


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 18])
@pytest.mark.parametrize(
    ("content", "padded", "offsets"),
    [
        (b"a,b\n007,1\n", True, False),
        (b"a,b\n1,00\n", True, False),
        (b'a,b\n"012",1\n', True, False),
        (b"a,b\n1,07", True, False),
        (b"a,b\n0,0.5\n", False, False),
        (b"a,b\n01/02/2024,08:15\n", False, False),
        (b"a,b\n10,100\n", False, False),
        (b"a,b\n2024-01-01 00:00:00,1\n", False, False),
        (b"a,b\n2024-01-01 00:00:00+02,1\n", False, True),
        (b"a,b\n2024-01-01T00:00:00Z,1\n", False, True),
        (b"a,b\n2024-01-01 00:00:00-05:00,1\n", False, True),
    ],
)
def test_what_is_found(tmp_path, monkeypatch, chunk, content, padded, offsets):
    monkeypatch.setattr(text_file, "_SCAN_CHUNK", chunk)
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    found = text_file.scan(path, Source(path), ",", numbers=True, times=True)
    assert (found.zero_padded, found.offsets) == (padded, offsets)


def test_lines_end_alike(tmp_path, monkeypatch):
    from workbench.datasets.files import Build
    from workbench.store import StoreDir

    monkeypatch.setattr(text_file, "_CHUNK", 3)
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\r\n1,2\nx\r,3\r\n")
    with Build(StoreDir(tmp_path / "s")) as build:
        assert text_file.one_line_end(path, build).read_bytes() == b"a,b\n1,2\nx\r,3\n"
