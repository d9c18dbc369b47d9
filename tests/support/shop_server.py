"""A shop of sixty products on loopback, for commands that run in processes of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

__all__ = ["PAGES", "Server", "Shop", "shop"]

PAGES = 60


class Shop(BaseHTTPRequestHandler):
    """A listing of sixty products; /slow never answers in time. /go/N redirects to product N, on the host 127.0.0.1."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for the first's ACK

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]  # set by the fixture
        status, body, kind = 200, b"", "text/html; charset=utf-8"
        location = ""
        if self.path == "/":
            body = "".join(f'<a class="product" href="/p/{i}">x</a>' for i in range(PAGES)).encode()
        elif self.path.startswith("/p/"):
            time.sleep(0.02)
            body = f"<h1>Product {self.path[3:]}</h1><b>£{self.path[3:]}.50</b>".encode()
        elif self.path.startswith("/go/"):
            status = 302
            location = f"http://127.0.0.1:{self.server.server_address[1]}/p/{self.path[4:]}"  # type: ignore[attr-defined]  # an HTTPServer's
        elif self.path == "/image":
            body, kind = b"\x89PNG", "image/png"
        elif self.path != "/empty":
            status = 404
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    """Clients that are killed are no news; what the server printed would be taken for the command's."""

    def handle_error(self, request: object, client_address: object) -> None:
        return


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[str, list[str]]]:
    """The shop's address and the paths it was asked for."""
    server = Server(("127.0.0.1", 0), Shop)
    server.asked = []  # type: ignore[attr-defined]  # read by the handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]  # see above
    server.shutdown()
    server.server_close()
    thread.join(5)
