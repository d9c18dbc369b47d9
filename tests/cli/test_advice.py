"""What is to be set after a failure of the site's is said where the failure is told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from scraper.reports.hints import advice_for
from tests.support.certificates import AUTHORITY, PAST, tls
from tests.support.command_line import Person

SPIDER = """
from scraper import Page, Request, Spider

class Site(Spider):
    robots = False
    retries = 0
    rate = None

    def start(self):
        yield Request("{url}", {options})

    def parse(self, page: Page):
        return None
"""


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server on loopback whose connections `answer` takes one by one, in a thread of its own.

    asyncio's servers close before an alert of TLS is sent.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if over.is_set():
                    return
                connection.settimeout(10)
                with contextlib.suppress(OSError):
                    answer(connection)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass

    over = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        socket.create_connection(server.getsockname()).close()
        thread.join()
        server.close()


def shaking(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """Shakes hands, and refuses as this context has it."""

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(
            ssl.SSLError
        ):  # a copy: closed with octets unread, it would reset the connection
            context.wrap_socket(connection.dup(), server_side=True).recv(1 << 16)

    return answer


def old() -> ssl.SSLContext:
    context = tls(key_type=trustme.KeyType.RSA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


def old_ciphers() -> ssl.SSLContext:
    context = tls(key_type=trustme.KeyType.RSA)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    return context


def asking(newest: ssl.TLSVersion) -> ssl.SSLContext:
    """Asks for a certificate of the client."""
    context = tls()
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    return context


SERVERS = {
    "TLS 1.0": (old, "protocol version; set tls: Tls(min=\"1.0\")"),
    "old ciphers": (old_ciphers, "handshake failure; set tls: Tls(ciphers=…), or Tls(cert=…, key=…)"),
    "certificate, TLS 1.2": (lambda: asking(ssl.TLSVersion.TLSv1_2), "handshake failure; set tls: Tls(ciphers=…), or Tls(cert"),
    "certificate, TLS 1.3": (lambda: asking(ssl.TLSVersion.TLSv1_3), "certificate required); set tls: Tls(cert=…, key=…)"),
    "another authority": (lambda: tls(authority=trustme.CA()), "; set SSL_CERT_FILE to a file that has its authority, or insecure_hosts"),
    "expired": (lambda: tls(not_after=PAST), "; set insecure_hosts if you must"),
    "another host": (lambda: tls("b.test"), "; set insecure_hosts if you must"),
}  # fmt: skip


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setattr(sys, "argv", sys.argv)
    return Person(tmp_path, "")


@pytest.mark.parametrize("kind", list(SERVERS))
def test_a_start_that_fails_by_tls_says_what_to_set(
    person: Person, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clause at the end of what the handshake said, at the end of the crawl and in `scraper errors`."""
    context, said = SERVERS[kind]
    AUTHORITY.cert_pem.write_to_path(tmp_path / "roots.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    with answering(shaking(context())) as port:
        person.write("site.py", SPIDER.format(url=f"https://127.0.0.1:{port}/", options=""))
        told = person.types("crawl", "site.py")
    assert (told.code, said in told.err) == (4, True), told.err
    assert f"    hint: {said.partition('; ')[2]}" in person.types("errors", "site").out


@pytest.mark.parametrize("options", ['method="POST"', 'method="POST", repeatable=True', "", 'method="PUT"'])
def test_a_post_whose_connection_broke_names_repeatable(person: Person, options: str) -> None:
    """A POST without `repeatable` alone is told why it was sent once, and what allows more."""
    with answering(lambda connection: connection.recv(1 << 16) and None) as port:
        person.write("site.py", SPIDER.format(url=f"http://127.0.0.1:{port}/", options=options))
        told = person.types("crawl", "site.py")
    meant = options == 'method="POST"'
    clause = (
        "a POST may have arrived, so it is sent once; if a second one changes nothing, set repeatable=True"
    )
    assert (told.code, f"; {clause}. Nothing" in told.err) == (4, meant)
    assert (f"    hint: {clause}" in person.types("errors", "site").out) is meant


def test_no_advice_where_none_is_known() -> None:
    """A server without TLS on the port, and failures that are not TLS's."""
    assert not advice_for("tls", "the TLS handshake with a.test:443 failed: wrong version number")
    assert not advice_for("connection", "a.test:443 closed the connection before the answer was complete")
    assert not advice_for("http", "HTTP 500")
