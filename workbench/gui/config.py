"""What the web server starts with: safe settings fixed here, looks from ``.streamlit/config.toml``."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import UsageError

__all__ = ["PAGES", "ROOT", "allowed_hosts", "check_address", "is_loopback", "options", "trusted_header"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"

#: Megabytes that one uploaded file may have, unless ``WORKBENCH_MAX_UPLOAD_MB`` says otherwise.
MAX_UPLOAD_MB = 500

_LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1"]

_FIXED: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.showEmailPrompt": False,
    "server.xsrfCookieSameSite": "strict",
}


def trusted_header() -> str:
    """Name of the header in which an authenticating proxy passes the user on, or ``""``."""
    return os.environ.get("WORKBENCH_TRUSTED_HEADER", "")


def allowed_hosts(address: str) -> list[str]:
    """Names by which the API may be called: the address it listens on, and ``WORKBENCH_ALLOWED_HOSTS``."""
    named = [name.strip() for name in os.environ.get("WORKBENCH_ALLOWED_HOSTS", "").split(",")]
    return [name for name in (*named, address) if name]


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a server bound to `address`."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_address(address: str, *, authenticated: bool) -> None:
    """Refuse to serve beyond this machine without authentication.

    Raises
    ------
    UsageError
    """
    if not is_loopback(address) and not authenticated:
        raise UsageError(
            f"The web server does not listen on {address} without authentication: set up [auth] in "
            ".streamlit/secrets.toml (OpenID Connect), or WORKBENCH_TRUSTED_HEADER behind a proxy that "
            "authenticates, or leave the address at 127.0.0.1."
        )


def options(address: str, port: int) -> dict[str, Any]:
    """Streamlit's options, by dotted name, for :meth:`streamlit.App.run`."""
    looks = ROOT / ".streamlit" / "config.toml"
    found = _dotted(tomllib.loads(looks.read_text())) if looks.exists() else {}
    found |= _FIXED
    found |= {
        "server.address": address,
        "server.port": port,
        "server.maxUploadSize": int(os.environ.get("WORKBENCH_MAX_UPLOAD_MB") or MAX_UPLOAD_MB),
    }
    if is_loopback(address):
        # Another site's name that resolves to this machine must not reach the app (DNS rebinding).
        found["server.allowedHosts"] = _LOOPBACK_NAMES
    if trusted_header():
        found["server.trustedUserHeaders"] = {trusted_header(): "name"}
    return found


def _dotted(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
