"""Who asks the page server for runs while it is killed: every request is sent until it is answered."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException

__all__ = ["Client"]

OPEN = 6  # of its runs that wait or are at work at the same time


class Client(threading.Thread):
    """Submits runs through the API, one request after the other, each under an idempotency key of its own.

    Parameters
    ----------
    address, token : str
    seed : int

    Attributes
    ----------
    told : dict of str to str
        The run that each key was answered with.
    refused : str
        Why no further request was sent: what a client should never be told.
    resent : int
        Requests that had to be sent again.
    answers : int
        Answers of any kind so far.
    asking : bool
        Whether a run is being asked for now.
    """

    def __init__(self, address: str, token: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.told: dict[str, str] = {}
        self.refused = ""
        self.resent = self.answers = 0
        self.asking = False
        self._address, self._rng = address, random.Random(seed)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._ended = threading.Event()

    def end(self) -> None:
        """Have the last request answered, and stop."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            listed = self._ask("GET", "/api/runs?limit=50")["runs"]
            own = [run for run in listed if run["name"].startswith("key-")]
            if sum(run["state"] in ("queued", "running") for run in own) < OPEN:
                key = f"key-{len(self.told):05}"
                body = {
                    "estimator": "faults.Beater",
                    "dataset": "table",
                    "params": {"seconds": round(self._rng.uniform(0.1, 0.8), 3)},
                    "name": key,
                }
                self.asking = True
                self.told[key] = self._ask("POST", "/api/runs", body, key)["id"]
                self.asking = False
            else:
                time.sleep(0.2)

    def _ask(self, method: str, path: str, body: object = None, key: str = "") -> dict:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        again = 0
        while True:
            request = urllib.request.Request(f"{self._address}{path}", data, headers, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                    found = json.load(answer)
                self.answers += 1
                self.resent += bool(key) and again
                return found
            except urllib.error.HTTPError as error:
                self.refused = f"{method} {path} was refused: {error.read().decode()}"
                raise SystemExit from error
            except (OSError, HTTPException, ValueError):  # it was killed before, or while, it answered
                again = 1
                time.sleep(0.05)
