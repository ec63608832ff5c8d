"""Notices: what somebody is to be told of failures, drift and missed schedules, and how it is sent.

A notice is entered in the transaction that made it true, and sent afterwards by a worker, to a webhook, by
mail, or both; what cannot be sent is tried again. Where to comes from the environment only and is never
stored or logged::

    WORKBENCH_NOTIFY_WEBHOOK   https://…
                               it is sent {"kind", "title", "text", "run", "schedule", "time"} as JSON
    WORKBENCH_NOTIFY_SMTP      smtp://user:password@host:587 (with STARTTLS) or smtps://…
    WORKBENCH_NOTIFY_TO        addresses, divided by commas
    WORKBENCH_NOTIFY_FROM      by default workbench@<this host>
"""

from __future__ import annotations

import json
import logging
import os
import smtplib
import socket
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

from workbench.store import StoreDir

__all__ = ["ATTEMPTS", "channels", "deliver", "give", "recent", "waiting"]

logger = logging.getLogger(__name__)

ATTEMPTS = 8
TIMEOUT = 10.0  # seconds for one conversation
PAUSE = 30.0  # seconds before the second attempt, doubled with each

Send = Callable[[Mapping[str, Any]], None]


def give(
    db: sqlite3.Connection,
    key: str,
    kind: str,
    title: str,
    text: str,
    *,
    run: str | None = None,
    schedule: str | None = None,
) -> None:
    """Enter a notice within the transaction `db`; one with the same key is not entered again."""
    db.execute(
        "INSERT OR IGNORE INTO notices (key, kind, title, text, run, schedule, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, kind, title, text, run, schedule, time.time()),
    )


def recent(dir: StoreDir, limit: int = 50) -> list[dict[str, Any]]:
    """The latest notices, the newest first."""
    rows = dir.connection.execute("SELECT * FROM notices ORDER BY created DESC LIMIT ?", (limit,))
    return [dict(row) for row in rows]


def waiting(dir: StoreDir) -> bool:
    """Whether a notice should be sent now."""
    query = f"SELECT 1 FROM notices WHERE {_DUE} LIMIT 1"  # noqa: S608
    return dir.connection.execute(query, _due(time.time())).fetchone() is not None


#: What is to be sent now. A pause that is longer than any was made by a clock that has been set back since.
_DUE = "sent IS NULL AND attempts < :attempts AND (retry_at <= :now OR retry_at > :now + :longest)"


def _due(now: float) -> dict[str, float]:
    return {"now": now, "attempts": ATTEMPTS, "pause": PAUSE, "longest": PAUSE * (1 << ATTEMPTS)}


def deliver(dir: StoreDir, ways: Mapping[str, Send]) -> int:
    """Send what waits by every way in `ways`; returns how many have been sent by all.

    Of several workers one sends a notice: it is claimed before. A worker that dies in between leaves it to
    the next attempt, so that somebody may be told twice, but not never.
    """
    sent = 0
    while ways:
        now = time.time()
        with dir.write() as db:
            row = db.execute(
                "UPDATE notices SET attempts = attempts + 1,"  # noqa: S608
                " retry_at = :now + :pause * (1 << attempts) WHERE key ="
                f" (SELECT key FROM notices WHERE {_DUE} ORDER BY created LIMIT 1) RETURNING *",
                _due(now),
            ).fetchone()
        if row is None:
            break
        told, problems = json.loads(row["told"]), []
        for name, send in ways.items():
            if name not in told:
                try:
                    send(row)
                    told.append(name)
                except OSError as error:  # urllib's, smtplib's and ssl's errors are all of this kind
                    problems.append(f"{name}: {_reason(error)}")
        done = not problems
        sent += done
        with dir.write() as db:
            db.execute(
                "UPDATE notices SET told = ?, error = ?, sent = ? WHERE key = ?",
                (json.dumps(told), " ".join(problems), time.time() if done else None, row["key"]),
            )
        for problem in problems:
            logger.warning("A notice could not be sent by %s", problem)
    return sent


def channels(environment: Mapping[str, str] = os.environ) -> dict[str, Send]:
    """The ways to send a notice that the environment names."""
    ways: dict[str, Send] = {}
    webhook = environment.get("WORKBENCH_NOTIFY_WEBHOOK", "")
    server, to = environment.get("WORKBENCH_NOTIFY_SMTP", ""), environment.get("WORKBENCH_NOTIFY_TO", "")
    if webhook:
        ways["webhook"] = lambda notice: _post(webhook, notice)
    if server and to:
        sender = environment.get("WORKBENCH_NOTIFY_FROM") or f"workbench@{socket.gethostname()}"
        ways["mail"] = lambda notice: _mail(server, sender, to, notice)
    return ways


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that sends one elsewhere is not the one that was configured."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _post(url: str, notice: Mapping[str, Any]) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise OSError("WORKBENCH_NOTIFY_WEBHOOK must begin with http:// or https://.")
    body = {name: notice[name] for name in ("kind", "title", "text", "run", "schedule")}
    request = urllib.request.Request(  # noqa: S310  the scheme is checked above
        url,
        json.dumps({**body, "time": notice["created"]}).encode(),
        {"Content-Type": "application/json", "User-Agent": "workbench"},
        method="POST",
    )
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
        pass


def _mail(url: str, sender: str, to: str, notice: Mapping[str, Any]) -> None:
    parts = urlsplit(url)
    message = EmailMessage()
    message["From"], message["To"] = sender, to
    message["Subject"] = " ".join(f"Workbench: {notice['title']}".split())
    about = [f"{name}: {notice[name]}" for name in ("run", "schedule") if notice[name]]
    message.set_content("\n".join([str(notice["text"]), "", *about]))
    context = ssl.create_default_context()
    host = parts.hostname or ""
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT, context=context)
    elif parts.scheme == "smtp":
        server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT)
    else:
        raise OSError("WORKBENCH_NOTIFY_SMTP must begin with smtp:// or smtps://.")
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif parts.scheme == "smtp" and parts.password and host not in ("localhost", "127.0.0.1", "::1"):
            raise OSError("the server offers no encryption, so that the password is not sent to it.")
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)


def _reason(error: OSError) -> str:
    """What went wrong, without the address, which may hold a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code}."
    if isinstance(error, urllib.error.URLError):
        return f"it cannot be reached ({type(error.reason).__name__})."
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the server answered {error.smtp_code}."
    if isinstance(error, smtplib.SMTPException):
        return f"{type(error).__name__}."
    return f"{error.strerror or (error.args[0] if error.args else type(error).__name__)}"
