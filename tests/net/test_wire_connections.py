"""Which connection a request takes: idle ones and their bounds, ones that close meanwhile, TLS of single hosts, proxies."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import ssl
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import trustme

import scraper
from scraper.core.models import Proxy, Tls
from scraper.errors import SettingsError
from scraper.net.wire.errors import Broken, MachineLimit, ProxyFailed
from scraper.net.wire.origin import Origin
from scraper.net.wire.protocol import Connection
from scraper.net.wire.tls import Contexts
from scraper.net.wire.wire import Wire
from scraper.settings import Settings
from tests.support.certificates import AUTHORITY, tls, trusting
from tests.support.hosts import Names
from tests.support.proxy_server import http_proxy
from tests.support.raw_server import Client, answering, ok, serve
from tests.support.wire_client import get, kind, wire


class Both(Names):
    """Every name has an IPv6 address of this machine first, and an IPv4 one."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        return "::1", "127.0.0.1"


# --- what is told to the engine


async def test_w5_a_connection_that_closes_before_the_first_byte_costs_no_request() -> None:
    """20 of 20 POSTs arrive although each idle connection closes while its request waits for its turn."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"hi"))
        await asyncio.sleep(0)

    told: list[str] = []

    async def before_connect() -> None:
        told.append("connect")

    async with serve(handler) as server, wire() as transport:

        async def before_send() -> None:
            told.append("send")
            if server.opened == len(server.requests):  # an idle connection: it ends now
                await server.quiet()

        extensions = {
            "before_connect": before_connect,
            "before_send": before_send,
            "unsent": lambda: told.append("unsent"),
            "after_send": lambda: told.append("sent"),
        }
        for _ in range(20):
            told.clear()
            options = {"content": b"x", "extensions": dict(extensions)}
            assert await get(transport, server.url(), "POST", **options) == (200, b"hi")
            assert told[-2:] == ["send", "sent"]
            assert told.count("send") == told.count("unsent") + 1
            assert told.count("connect") == 1
        assert len(server.requests) == 20


async def test_a_server_that_closes_every_connection_at_once_ends_the_request() -> None:
    """A few connections are tried before the first byte, not for ever."""
    unsent: list[int] = []

    async def handler(client: Client) -> None:
        return

    async with serve(handler) as server, wire() as transport:

        async def before_send() -> None:
            await server.quiet()
            for _ in range(3):
                await asyncio.sleep(0)

        extensions = {"before_send": before_send, "unsent": lambda: unsent.append(1)}
        with pytest.raises(httpx.ReadError):
            await get(transport, server.url(), "POST", extensions=extensions)
        assert 1 < len(unsent) < 9


async def test_before_connect_is_not_asked_for_an_idle_connection() -> None:
    """It is awaited once for each attempt to connect."""
    asked: list[int] = []

    async def before_connect() -> None:
        asked.append(1)

    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        for _ in range(3):
            await get(transport, server.url(), extensions={"before_connect": before_connect})
    assert asked == [1]


# --- idle connections


@pytest.mark.parametrize(
    ("method", "extensions", "opened"),
    [("GET", {}, 1), ("POST", {}, 2), ("POST", {"repeatable": True}, 1), ("DELETE", {}, 2)],
)
async def test_w5_what_must_not_be_sent_twice_goes_over_a_connection_that_was_just_used_or_is_new(
    method: str, extensions: dict[str, Any], opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may close an idle connection just when a request is on its way: a POST does not run that risk."""
    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        await get(transport, server.url(), method, extensions=dict(extensions))
        await get(transport, server.url(), method, extensions=dict(extensions))
        assert server.opened == 1
        monkeypatch.setattr("scraper.net.wire.wire.MOST_IDLE_SECONDS", -1.0)
        await get(transport, server.url(), method, extensions=dict(extensions))
        assert server.opened == opened


async def test_w2_idle_connections_are_bounded_and_the_oldest_is_closed() -> None:
    """With room for two, the third idle connection closes the first."""
    hosts = ["a.test", "b.test", "c.test"]
    async with serve(answering(ok(b"hi"))) as server, wire(max_open=2, resolver=Names()) as transport:
        for host in hosts:
            await get(transport, server.url(host=host))
        assert server.opened == 3
        await get(transport, server.url(host="c.test"))
        await get(transport, server.url(host="b.test"))
        assert server.opened == 3
        await get(transport, server.url(host="a.test"))
        assert server.opened == 4


async def test_w2_one_connection_more_closes_one_that_is_idle() -> None:
    """Not all of them."""
    async with serve(answering(ok(b"hi"))) as server, wire(max_open=20, resolver=Names()) as transport:
        for number in range(60):
            await get(transport, server.url(host=f"{number}.test"))
        for number in range(41, 60):
            await get(transport, server.url(host=f"{number}.test"))
        assert server.opened == 60


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.mark.filterwarnings("ignore:unclosed transport")  # a loop that is over closes none
def test_a_transport_serves_one_event_loop_after_another() -> None:
    """Connections and lookups of a loop that is over are left behind."""
    transport = Wire(resolver=Names())

    async def visit() -> None:
        for host in ("a.test", "127.0.0.1"):
            assert await get(transport, f"http://{host}:{server.server_port}/") == (200, b"hi")

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.daemon_threads, server.block_on_close = True, False
        Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(3):
            asyncio.run(visit())
        asyncio.run(transport.aclose())
        server.shutdown()
    gc.collect()


async def test_a_connection_that_was_being_made_when_the_transport_closed_is_not_used() -> None:
    """The request fails, and nothing stays open."""
    closed = asyncio.Event()

    async def before_connect() -> None:
        await transport.aclose()
        closed.set()

    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        with pytest.raises(Broken):
            await get(transport, server.url(), extensions={"before_connect": before_connect})
        await server.quiet()
        assert closed.is_set()
        assert (server.alive, server.requests) == (0, [])


async def test_what_ended_a_request_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure and the connection it happened on are freed without the garbage collector."""
    made: list[weakref.ref[Connection]] = []

    class Watched(Connection):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(weakref.ref(self))

    monkeypatch.setattr("scraper.net.wire.dialing.Connection", Watched)
    for answer in (
        b"",
        b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    ):
        async with serve(answering(answer, keep=False)) as server, wire() as transport:
            gc.disable()
            try:
                with pytest.raises(httpx.TransportError):
                    await get(transport, server.url())
                await server.quiet()
                assert made.pop()() is None
            finally:
                gc.enable()


async def test_a_server_that_keeps_connections_for_a_second_is_not_asked_over_an_old_one() -> None:
    """`Keep-Alive: timeout=1` leaves no time in which a request could arrive."""
    async with serve(answering(ok(b"hi", "Keep-Alive: timeout=1"))) as server, wire() as transport:
        for _ in range(2):
            await get(transport, server.url())
        assert server.opened == 2


async def test_requests_of_different_sessions_share_no_connection() -> None:
    """The pool keeps sessions apart."""
    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        for session in ("a", "b", "a", "b"):
            await get(transport, server.url(), extensions={"session": session})
        assert server.opened == 2


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM]
)
async def test_w2_what_this_machine_lacks_is_of_kind_machine(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor, port or memory left is not the host's fault."""

    def full(*args: Any, **options: Any) -> socket.socket:
        raise OSError(number, "no more")

    async with wire() as transport:
        monkeypatch.setattr("scraper.net.wire.dialing.socket.socket", full)
        with pytest.raises(MachineLimit) as caught:
            await get(transport, "http://127.0.0.1:1/")
        monkeypatch.undo()
    assert caught.value.kind == "machine"
    assert isinstance(caught.value, httpx.ConnectError)


async def test_w2_without_a_descriptor_idle_connections_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE closes idle connections, and the request is sent."""
    real, failures = socket.socket, [OSError(errno.EMFILE, "no more")]

    def full(*args: Any, **options: Any) -> socket.socket:
        if failures:
            raise failures.pop()
        return real(*args, **options)

    async with serve(answering(ok(b"hi"))) as server, wire(resolver=Names()) as transport:
        await get(transport, server.url(host="a.test"))
        monkeypatch.setattr("scraper.net.wire.dialing.socket.socket", full)
        assert await get(transport, server.url(host="b.test")) == (200, b"hi")
        monkeypatch.undo()
        assert not failures


async def test_host_47_a_machine_without_ipv6_takes_the_other_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """EADDRNOTAVAIL of an IPv6 address is no want of ports, and hides no IPv4 address."""
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def without(sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        await real(sock, address)

    monkeypatch.setattr(loop, "sock_connect", without)
    async with serve(answering(ok(b"hi"))) as server, wire(resolver=Both()) as transport:
        assert await get(transport, server.url(host="both.test")) == (200, b"hi")
        assert await kind(transport, server.url(host="[::1]")) == "connect"
    monkeypatch.undo()


# --- messages, proxies


async def test_w18_an_ipv6_address_has_brackets_in_messages() -> None:
    """`[::1]:8000`, as in a URL."""
    async with wire() as transport:
        with pytest.raises(httpx.TransportError, match=r"\[::1\]:1\b"):
            await get(transport, "http://[::1]:1/")


async def test_w18_a_connect_that_hangs_is_the_proxys_fault() -> None:
    """A proxy that takes CONNECT and says nothing is of kind `proxy`, not the site's time-out."""

    async def silent(client: Client) -> None:
        await client.gone()

    async with serve(silent) as proxy, wire(connect_timeout=0.5, resolver=Names()) as transport:
        way = {"proxy": Proxy("http", "127.0.0.1", proxy.port)}
        with pytest.raises(ProxyFailed, match=r"did not connect to a\.test:443 in time") as caught:
            await get(transport, "https://a.test/", extensions=way)
        assert caught.value.at_fault
        await proxy.quiet()
        assert proxy.alive == 0


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\nX", b"nonsense\r\n\r\n", b"HTTP/1.1 103 E\r\n\r\n" * 20, b"a" * 99_999, b""],
)
async def test_a_proxy_that_answers_connect_wrongly_is_refused(answer: bytes) -> None:
    """A byte behind the head, no HTTP, no end: each is the proxy's fault, and its connection is closed."""
    async with serve(answering(answer, keep=False)) as proxy, wire(resolver=Names()) as transport:
        way = {"proxy": Proxy("http", "127.0.0.1", proxy.port)}
        with pytest.raises(ProxyFailed) as caught:
            await get(transport, "https://a.test/", extensions=way)
        assert caught.value.at_fault
        await proxy.quiet()
        assert proxy.alive == 0


async def test_a_proxy_without_an_address_is_the_proxys_fault() -> None:
    """Its name is looked up by us, and that it has none says nothing about the site."""
    async with wire() as transport:
        way = {"proxy": Proxy("http", "no-such-name.invalid", 3128)}
        with pytest.raises(ProxyFailed):
            await get(transport, "http://127.0.0.1:1/", extensions=way)


async def test_through_a_proxy_that_needs_it_connections_are_kept() -> None:
    """Ten https pages through one tunnel are one CONNECT."""
    async with (
        serve(http_proxy()) as proxy,
        serve(answering(ok(b"hi")), tls("a.test")) as site,
        wire(verify=trusting(), resolver=Names()) as transport,
    ):
        way = {"proxy": Proxy("http", "127.0.0.1", proxy.port)}
        for _ in range(10):
            assert await get(transport, site.url(host="a.test"), extensions=dict(way)) == (200, b"hi")
        assert (proxy.opened, site.opened) == (1, 1)


# --- uploads


async def test_an_early_answer_ends_an_upload() -> None:
    """A server that refuses a large body without reading it is heard."""

    async def handler(client: Client) -> None:
        await client.upto(b"\r\n\r\n")
        await client.send(ok(b"too large", status="413 Too Large"))
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        assert await get(transport, server.url(), "POST", content=b"x" * 20_000_000) == (413, b"too large")
        await server.quiet()
        assert server.alive == 0


async def test_a_large_upload_arrives_whole() -> None:
    """20 MB are sent as the server takes them."""
    length = 20_000_000

    async def handler(client: Client) -> None:
        head = await client.upto(b"\r\n\r\n")
        assert b"Content-Length: %d" % length in head
        left = length
        while left:
            left -= len(await client.some())
        await client.send(ok(b"all"))

    async with serve(handler) as server, wire() as transport:
        assert await get(transport, server.url(), "POST", content=b"x" * length) == (200, b"all")


async def test_a_server_that_answers_while_it_reads_gets_the_whole_upload() -> None:
    """It sends each piece back, and reads no further while that is not taken."""
    length = 20_000_000

    async def handler(client: Client) -> None:
        await client.upto(b"\r\n\r\n")
        await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        left = length
        while left and (piece := await client.some()):
            left -= len(piece)
            await client.send(piece)
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        async with asyncio.timeout(60):
            assert await get(transport, server.url(), "POST", content=b"x" * length) == (200, b"x" * length)


# --- TLS of single hosts


#: A server in this loop closes before its alert is sent.
REFUSED = {"tls", "connect"}


def old_server(ciphers: str = "DEFAULT:@SECLEVEL=0") -> ssl.SSLContext:
    context = tls("a.test", key_type=trustme.KeyType.RSA)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


async def test_w26_a_server_of_old_ciphers_is_read_where_they_are_set() -> None:
    """RSA key exchange, refused by default, works for exactly the host that has it in `tls`."""
    old = "AES128-SHA:@SECLEVEL=0"
    special = {"a.test": scraper.Tls(ciphers=old)}
    options = {"verify": trusting(), "resolver": Names()}
    async with serve(answering(ok(b"hi")), old_server(old)) as server:
        async with wire(**options) as transport:
            assert await kind(transport, server.url(host="a.test")) in REFUSED
        async with wire(tls=special, **options) as transport:
            assert await get(transport, server.url(host="a.test")) == (200, b"hi")
            assert await kind(transport, server.url(host="b.a.test")) in REFUSED


async def test_w26_a_client_certificate_is_shown_where_it_is_set(tmp_path: Path) -> None:
    """A server that asks for a certificate gets the one of its host, and that connection serves no other."""
    ours = trustme.CA()
    cert, key = tmp_path / "me.pem", tmp_path / "me.key"
    mine = ours.issue_cert("me@example.com")
    mine.cert_chain_pems[0].write_to_path(cert)
    mine.private_key_pem.write_to_path(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("a.test", "b.test").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 a client learns of its refusal later
    ours.configure_trust(context)
    async with serve(answering(ok(b"hi")), context) as server:
        special = {f"a.test:{server.port}": Tls(cert=str(cert), key=str(key))}
        async with wire(tls=special, verify=trusting(), resolver=Names()) as transport:
            for _ in range(2):
                assert await get(transport, server.url(host="a.test")) == (200, b"hi")
            assert server.opened == 1
            assert await kind(transport, server.url(host="b.test")) in REFUSED


@pytest.mark.parametrize(("text", "said"), [(None, "cannot read"), ("not PEM", "no certificate")])
def test_w26_a_certificate_that_cannot_be_used_is_an_error_before_the_first_request(
    text: str | None, said: str, tmp_path: Path
) -> None:
    """The error names the file and the host."""
    cert = tmp_path / "me.pem"
    if text is not None:
        cert.write_text(text)
    with pytest.raises(SettingsError, match=f"tls of a.test: {said}.*me.pem"):
        Wire(tls={"a.test": Tls(cert=str(cert))})


@pytest.mark.parametrize(
    "value", [{"min": "0.9"}, {"least": "1.0"}, {"min": 1.0}, {"key": "me.key"}, "1.0", {"ciphers": 3}]
)
def test_w26_a_wrong_tls_setting_is_refused_by_its_host(value: Any) -> None:
    """The error names the host and what may stand there."""
    with pytest.raises(SettingsError, match=r"tls of a\.test.*expected a table"):
        Settings.of(("here", {"tls": {"a.test": value}}))


def test_w26_the_setting_is_a_table_in_any_form() -> None:
    """A Tls, or its fields as a configuration file has them."""
    made = Settings.of(("here", {"tls": {"A.test": {"min": "1.0"}, "b.test": Tls(ciphers="ALL")}}))
    assert dict(made.tls) == {"a.test": Tls(min="1.0"), "b.test": Tls(ciphers="ALL")}


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("A.Test", "https://a.test"),
        ("a.test.", "https://a.test"),
        ("a.test:8443", "https://a.test:8443"),
        ("bücher.test", "https://bücher.test"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("::1", "https://[::1]:1"),
    ],
)
def test_w26_a_host_may_be_written_as_people_do(written: str, url: str) -> None:
    """Case, trailing dot, port, IDNA and brackets are read as in a URL."""
    contexts = Contexts(True, (), {written: Tls(min="1.3")})
    name = Origin(httpx.URL(url), contexts).key.tls
    assert contexts.of(name).minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("written", ["", "https://a.test", "a.test/x", "me@a.test"])
def test_w26_what_is_not_a_host_is_refused(written: str) -> None:
    """The error quotes it; it would never be used."""
    with pytest.raises(SettingsError, match="not a host"):
        Contexts(True, (), {written: Tls(min="1.3")})


@pytest.mark.parametrize("port", [0, 65_536, 99_999])
async def test_a_port_there_is_not_is_a_bad_url(port: int) -> None:
    """It is neither another port nor an error of Python's."""
    async with wire() as transport:
        assert await kind(transport, f"http://127.0.0.1:{port}/") == "bad-url"
