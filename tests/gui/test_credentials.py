"""What the server hands out and takes: cookies, tokens, uploads. And nothing of it in a log."""

import http.client
import os
import subprocess
import sys
from http.cookies import SimpleCookie
from types import SimpleNamespace

import pandas as pd
import pytest
from starlette.responses import Response
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette import starlette_auth_routes
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import workbench as wb
from tests.servers import free_port
from workbench.gui import config
from workbench.tokens import Tokens

XSRF = "_streamlit_xsrf"
#: A file of settings by which Streamlit would answer other sites' pages, and take files from them.
CARELESS = "[server]\nenableXsrfProtection = false\nenableCORS = false\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a token and one data set, in a folder whose settings would have it careless."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    store = wb.open(folder / "store")
    store.datasets.publish_frame(pd.DataFrame({"a": [1.0, 2.0]}), "table")
    _, token = Tokens(store.dir).create("ann", write=True)
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(CARELESS)
    command = [sys.executable, "-m", "workbench", "web", "--store", store.root, "--port", str(port)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(config.ROOT),
        "PYTHONUNBUFFERED": "1",
        "WORKBENCH_MAX_UPLOAD_MB": "1",
    }
    output = folder / "output.txt"
    with output.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        while b"Workbench is up" not in output.read_bytes():
            assert process.poll() is None, output.read_text()
        yield SimpleNamespace(port=port, token=token, root=store.root, output=output)
    finally:
        process.terminate()
        process.wait()


def ask(server, path, method="GET", body=None, **headers):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named, encode_chunked="Transfer-Encoding" in named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def cookies(headers):
    """The cookies that an answer sets."""
    jar = SimpleCookie()
    for line in headers.get_all("Set-Cookie") or []:
        jar.load(line)
    return jar


@pytest.mark.parametrize(
    "path",
    ["/", "/datasets?data=table", "/healthz", "/metrics", "/api/runs", "/api/datasets/table", "/api/none"],
)
def test_neither_pages_nor_api_set_a_cookie(server, path):
    for headers in ({}, {"Authorization": f"Bearer {server.token}"}):
        assert not cookies(ask(server, path, **headers)[1]), path


def test_the_only_cookie_is_against_forged_uploads_and_stays_on_this_site(server):
    found = cookies(ask(server, "/_stcore/health")[1])
    assert list(found) == [XSRF]
    cookie = found[XSRF]
    assert (cookie["samesite"].lower(), cookie["path"], cookie["domain"]) == ("strict", "/", "")
    # The page's script has to read it, so it opens nothing by itself: not the API, nor another reader's page.
    assert not cookie["httponly"]
    status, _, _ = ask(server, "/api/runs", "POST", "{}", Cookie=f"{XSRF}={cookie.value}")
    assert status == 401


def test_cookies_of_a_sign_in_are_signed_and_out_of_reach_of_scripts(monkeypatch):
    monkeypatch.setattr(starlette_auth_routes, "get_cookie_secret", lambda: "secret")
    answer = Response()
    starlette_auth_routes._set_single_cookie(answer, "_streamlit_user", '{"email": "ann@example.org"}')
    (cookie,) = cookies(SimpleNamespace(get_all=answer.headers.getlist)).values()
    assert cookie["httponly"]
    assert cookie["samesite"].lower() in ("lax", "strict")
    taken = starlette_auth_routes.create_signed_value("secret", "_streamlit_user", "x")
    forged = starlette_auth_routes.create_signed_value("other", "_streamlit_user", "x")
    read = starlette_auth_routes.decode_signed_value
    assert read("secret", "_streamlit_user", taken.decode()) == b"x"
    assert read("secret", "_streamlit_user", forged.decode()) is None


def test_a_token_counts_in_its_header_alone_and_is_in_no_log(server):
    secret = server.token.split("_", 2)[2]
    body = '{"estimator": "sklearn.svm:SVC", "dataset": "table"}'
    sent = {"Content_Type": "application/json"}
    elsewhere = [
        ask(server, f"/api/runs?token={server.token}", "POST", body, **sent),
        ask(server, f"/api/runs?access_token={server.token}", "POST", body, **sent),
        ask(server, "/api/runs", "POST", body, Cookie=f"token={server.token}", **sent),
        ask(server, "/api/runs", "POST", body, Cookie=f"Authorization=Bearer {server.token}", **sent),
    ]
    assert [status for status, _, _ in elsewhere] == [401] * len(elsewhere)
    right = {"Authorization": f"Bearer {server.token}"}
    assert ask(server, "/api/datasets/table", **right)[0] == 200
    wrong = [
        ask(server, "/api/none", **right),
        ask(server, "/api/runs", "POST", "{", **right, **sent),
        ask(server, f"/api/datasets/{server.token}", **right),
        ask(server, "/api/runs", Authorization=f"Basic {server.token}"),
        ask(server, f"/no/page?token={server.token}"),
    ]
    assert all(secret.encode() not in repr(headers.items()).encode() for _, headers, _ in wrong)
    assert secret not in server.output.read_text()
    for path in server.root.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.fixture
def page(server):
    """A page that is open: its session, and the headers by which it sends files."""
    jar = cookies(ask(server, "/_stcore/health")[1])
    sent = {"Cookie": f"{XSRF}={jar[XSRF].value}", "X_Xsrftoken": jar[XSRF].value}
    address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    with connect(address, origin=f"http://127.0.0.1:{server.port}", subprotocols=["streamlit"]) as socket:
        socket.send(BackMsg(rerun_script={}).SerializeToString())
        message = ForwardMsg()
        while message.WhichOneof("type") != "new_session":
            message.ParseFromString(socket.recv(timeout=60))
        yield SimpleNamespace(session=message.new_session.initialize.session_id, headers=sent)


def form(n_bytes):
    """A form with one file of so many bytes."""
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="../../a.csv"\r\n\r\n'
    return head + b"1" * n_bytes + b"\r\n--x--\r\n"


def test_an_upload_has_a_size_and_needs_its_pages_token(server, page):
    sent = {"Content_Type": "multipart/form-data; boundary=x"}

    def put(n_bytes, session=page.session, **headers):
        body = form(n_bytes)
        if "Transfer_Encoding" in headers:  # says not beforehand how long it is
            body = iter([body])
        path = f"/_stcore/upload_file/{session}/file"
        return ask(server, path, "PUT", body, **sent, **headers)[0]

    assert put(1000, **page.headers) == 204
    assert put(3 << 20, **page.headers) == 413
    assert put(3 << 20, Transfer_Encoding="chunked", **page.headers) == 413
    assert put(1000, session="other", **page.headers) == 400
    assert put(1000) == 403
    assert put(1000, Cookie=page.headers["Cookie"]) == 403
    assert not list(server.root.rglob("a.csv"))


def test_settings_cannot_open_the_socket_to_other_sites(server):
    address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin="http://evil.example"):
        pass
