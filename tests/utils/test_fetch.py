"""Fetching over a network that drops connections."""

import http.server
import threading

import pytest

from deeplab_lit.utils import fetch
from deeplab_lit.utils.errors import UserError

CONTENT = b"weights" * 100_000


@pytest.fixture
def server(request):
    """A server that closes so many first connections without an answer; its number of requests is ``asked``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked += 1
            if server.asked > request.param:
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("server", [0, 1, 2], indirect=True)
def test_a_connection_that_is_closed_is_tried_again(server, request, monkeypatch):
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    file = fetch.fetched(f"http://127.0.0.1:{server.server_port}/best.ckpt")
    assert file.read_bytes() == CONTENT and server.asked == request.node.callspec.params["server"] + 1


@pytest.mark.parametrize("server", [9], indirect=True)
def test_one_that_stays_closed_is_one_sentence_and_leaves_nothing(server, monkeypatch, cache):
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match="could not be fetched .* fetch it by hand and give the path"):
        fetch.fetched(f"http://127.0.0.1:{server.server_port}/lost.ckpt")
    assert server.asked == 3 and not list((cache / "checkpoints").glob("*lost*.ckpt"))
