"""A tenant over HTTP that answers user searches with whatever a test gives it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import Settings

Answer = Callable[[str, int, int], Any]


@contextmanager
def lying(answer: Answer, headers: dict[str, str] | None = None) -> Iterator[Tenant]:
    """Connect to a tenant that answers a search with `answer(q, page, per_page)` as JSON.

    Args:
        answer: makes the JSON value, or the bytes, of an answer.
        headers: sent with each answer; without `Date` there is none.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            token = {"access_token": "t", "expires_in": 86400, "scope": "read:users"}
            self.send({**token, "token_type": "Bearer"})

        def do_GET(self) -> None:
            asked = {
                name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()
            }
            if "q" not in asked:
                self.send({"statusCode": 404}, 404)
                return
            self.send(answer(asked["q"], int(asked["page"]), int(asked["per_page"])))

        def send(self, value: Any, status: int = 200) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response_only(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings = Settings(
        domain=f"http://127.0.0.1:{server.server_port}",
        client_id="c",
        client_secret="s",
        token=None,
        _env_file=None,
    )
    try:
        with connect(settings) as tenant:
            yield tenant
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
