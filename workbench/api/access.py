"""Who may use the API: anybody on this machine to read, and only holders of a token for all else.

Three things are checked before a request is looked at: that it names this server (a page of another site
whose name resolves to this machine does not), that no page of another site sent it, and that it carries a
token where one is needed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workbench.tokens import Token, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Access", "Refused"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = ("GET", "HEAD")
#: Set by proxies: a request that came through one is not this machine's own.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HINT = "create one with `python -m workbench token create NAME` and send it as Authorization: Bearer TOKEN"


class Refused(Exception):
    """A request that is not carried out; its text is one sentence for the sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Parameters
    ----------
    tokens : Tokens
    local : bool
        Whether only this machine can reach the server, with nothing in front of it: then reading is free.
    hosts : iterable of str
        Names under which the server may be addressed besides those of the loopback interface; where it is not
        `local`, addresses in numbers are allowed too, as no foreign name can stand behind one.
    """

    tokens: Tokens
    local: bool = True
    hosts: Iterable[str] = ()

    def check(self, method: str, headers: Mapping[str, str], client: str | None) -> Token | None:
        """The sender's token, or None for reading without one.

        Raises
        ------
        Refused
        """
        self.check_sender(headers)
        given = headers.get("authorization")
        if given is not None:
            return self._check_token(given, method)
        if not self.local or not _is_loopback(client) or any(name in headers for name in _FORWARDED):
            raise Refused(401, f"A token is needed: {_HINT}.")
        if method not in _READING:
            raise Refused(401, f"A token is needed to change anything: {_HINT} (made with --write).")
        return None

    def check_sender(self, headers: Mapping[str, str]) -> None:
        """That a request means this server, and that no page of another site sent it.

        Raises
        ------
        Refused
        """
        self._check_host(headers.get("host", ""))
        _check_origin(headers)

    def _check_host(self, header: str) -> None:
        name = _host_name(header)
        allowed = LOOPBACK | {host.lower() for host in self.hosts}
        if name not in allowed and (self.local or not _is_address(name)):
            raise Refused(
                403, f"This server is not called {name or 'that'!r}: add the name to WORKBENCH_ALLOWED_HOSTS."
            )

    def _check_token(self, given: str, method: str) -> Token:
        kind, _, text = given.partition(" ")
        token = self.tokens.check(text.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise Refused(401, "The token is not known, was revoked, or has expired.")
        if method not in _READING and not token.may_write:
            raise Refused(403, f"The token {token.name!r} may only read: create one with --write.")
        return token


def _check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another site sends; programs send no origin."""
    origin = headers.get("origin")
    if origin is not None and _place(origin) != headers.get("host", "").lower():
        raise Refused(403, "Requests of another site's pages are not answered.")
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        raise Refused(403, "Requests of another site's pages are not answered.")


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # brackets that do not close
        return None


def _host_name(header: str) -> str:
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return ""
    if parts.username is not None or parts.path or parts.query:
        return ""
    return (parts.hostname or "").lower().rstrip(".")


def _is_loopback(client: str | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
