"""W26: a server that offers RSA key exchange only."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any

import trustme

import scraper
from scraper import Page, Spider

__all__ = ["RIGHT", "replay"]

RIGHT: str = "1 page"
CIPHERS = "AES128-SHA:@SECLEVEL=0"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Reads(Spider[Any]):
    """One page."""

    def parse(self, page: Page) -> Any:
        yield {"seen": page.url}


def replay() -> str:
    """Crawl it with `tls` for its host, where there is such a setting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA).configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.TemporaryDirectory(prefix="scraper-") as folder,
    ):
        threading.Thread(target=_serve, args=(server, context), daemon=True).start()
        netloc = f"127.0.0.1:{server.getsockname()[1]}"
        settings: dict[str, Any] = {"robots": False, "retries": 0, "insecure_hosts": {netloc}, "max_time": 20}
        if hasattr(scraper, "Tls"):
            settings["tls"] = {netloc: {"ciphers": CIPHERS}}
        summary = scraper.run(
            Reads, db=str(Path(folder, "a.db")), start=[f"https://{netloc}/"], settings=settings
        )
    return f"{summary.pages} page" if summary.pages else "no page"


def _serve(server: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection = server.accept()[0]
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as inside:
                inside.recv(65_536)
                inside.sendall(ANSWER)
