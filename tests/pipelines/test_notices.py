"""Notices reach a webhook and a mail server on this machine, once, with nothing secret left behind."""

import base64
import json
import logging
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from workbench.runs import notices, queue

PASSWORD = "s3cret-Passw0rd"  # noqa: S105


class Hook:
    """A webhook that answers what it is told to."""

    def __init__(self):
        self.answers, self.got = [], []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status = hook.answers.pop(0) if hook.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{PASSWORD}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Mail:
    """Enough of a mail server for smtplib: it takes a login and a message."""

    def __init__(self):
        self.got, self.logins = [], []
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(f"{text}\r\n".encode())

            def handle(self):
                self.say("220 test")
                while line := self.rfile.readline().decode().strip():
                    word = line.split()[0].upper()
                    if word == "EHLO":
                        self.say("250-test\r\n250 AUTH PLAIN")
                    elif word == "AUTH":
                        mail.logins.append(base64.b64decode(line.split()[2]).decode().split("\0")[1:])
                        self.say("235 ok")
                    elif word == "DATA":
                        self.say("354 go on")
                        text = b""
                        while (part := self.rfile.readline()) != b".\r\n":
                            text += part
                        mail.got.append(text.decode())
                        self.say("250 ok")
                    elif word == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"smtp://me:{PASSWORD}@127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook():
    started = Hook()
    yield started
    started.server.shutdown()
    started.server.server_close()


@pytest.fixture
def mail():
    started = Mail()
    yield started
    started.server.shutdown()
    started.server.server_close()


@pytest.fixture
def ways(hook, mail):
    return notices.channels(
        {
            "WORKBENCH_NOTIFY_WEBHOOK": hook.url,
            "WORKBENCH_NOTIFY_SMTP": mail.url,
            "WORKBENCH_NOTIFY_TO": "a@example.org",
            "WORKBENCH_NOTIFY_FROM": "workbench@example.org",
        }
    )


def give(store, key="drift:1", title="It\nhas drifted"):
    with store.dir.write() as db:
        notices.give(db, key, "drift", title, "From a@1 to a@2: ü (0.3).", run="abc", schedule="nightly")


def now_again(store):
    with store.dir.write() as db:
        db.execute("UPDATE notices SET retry_at = 0")


def test_a_notice_goes_to_both_once(store, hook, mail, ways):
    give(store)
    give(store)  # the same event again
    assert notices.deliver(store.dir, ways) == 1
    assert notices.deliver(store.dir, ways) == 0
    (posted,), (sent,) = hook.got, mail.got
    assert posted | {"time": 0} == {
        "kind": "drift", "title": "It\nhas drifted", "text": "From a@1 to a@2: ü (0.3).", "run": "abc",
        "schedule": "nightly", "time": 0,
    }  # fmt: skip
    assert "Subject: Workbench: It has drifted" in sent
    assert mail.logins == [["me", PASSWORD]]
    assert not notices.waiting(store.dir)


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_fails_is_sent_again_but_not_by_the_way_that_went_well(store, hook, mail, ways, status, caplog):
    hook.answers = [status]
    give(store)
    with caplog.at_level(logging.DEBUG):
        assert notices.deliver(store.dir, ways) == 0
    (notice,) = notices.recent(store.dir)
    assert notice["error"] == f"webhook: it answered {status}."
    assert notices.deliver(store.dir, ways) == 0  # not before some time has passed
    now_again(store)
    assert notices.deliver(store.dir, ways) == 1
    assert (len(hook.got), len(mail.got)) == (2, 1)
    assert PASSWORD not in caplog.text
    assert PASSWORD.encode() not in b"".join(
        path.read_bytes() for path in store.root.rglob("*") if path.is_file()
    )


def test_a_server_that_is_not_there_is_given_up_in_the_end(store, hook):
    hook.server.shutdown()
    hook.server.server_close()
    ways = notices.channels({"WORKBENCH_NOTIFY_WEBHOOK": hook.url})
    give(store)
    for _ in range(notices.ATTEMPTS + 2):
        notices.deliver(store.dir, ways)
        now_again(store)
    (notice,) = notices.recent(store.dir)
    assert notice["attempts"] == notices.ATTEMPTS
    assert notice["error"].startswith("webhook: it cannot be reached")
    assert not notices.waiting(store.dir)


def test_a_password_is_not_sent_unencrypted_to_another_host(mail, store, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [(2, 1, 6, "", mail.server.server_address)])
    url = mail.url.replace("127.0.0.1", "mail.example.org")
    give(store)
    ways = notices.channels({"WORKBENCH_NOTIFY_SMTP": url, "WORKBENCH_NOTIFY_TO": "a@example.org"})
    assert notices.deliver(store.dir, ways) == 0
    assert mail.logins == mail.got == []
    assert "no encryption" in notices.recent(store.dir)[0]["error"]


def test_nothing_is_sent_where_nothing_is_configured(store):
    assert notices.channels({}) == {}
    assert notices.channels({"WORKBENCH_NOTIFY_SMTP": "smtp://x"}) == {}
    give(store)
    assert notices.deliver(store.dir, {}) == 0
    assert notices.recent(store.dir)[0]["attempts"] == 0


def test_a_pipeline_that_fails_gives_notice_and_another_run_does_not(store):
    from rig import publish_table

    run = store.pipelines.run("quick")
    other = store.submit("probes:Sleeper", publish_table(store))
    for device in ("none", "auto"):
        queue.claim(store.dir, "w", "cpu", (device,), lease=60)
    for each in (run, other):
        assert queue.finish(store.dir, each.id, "w", "failed", error="It broke.")
    (notice,) = notices.recent(store.dir)
    assert (notice["kind"], notice["run"], notice["text"]) == ("failure", run.id, "It broke.")
    assert notice["title"] == f"{run.name} failed"


def test_the_worker_sends_and_runs_are_not_told_the_addresses(store, hook, monkeypatch, tmp_path):
    from rig import until

    from workbench.runs.launchers.local import _environment
    from workbench.runs.worker import Worker

    monkeypatch.setenv("WORKBENCH_NOTIFY_WEBHOOK", hook.url)
    give(store)
    worker = Worker(store.dir, ["cpu"])
    until(lambda: worker.tick() or (hook.got and notices.recent(store.dir)[0]["sent"]))
    assert not any(PASSWORD in value for value in _environment(tmp_path, "cpu", 1).values())
