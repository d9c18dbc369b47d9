from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import os
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import trustme

from scraper.core.machine_limits import LIMIT_ERRNOS
from scraper.errors import KINDS
from scraper.net.guard import Guard
from scraper.net.wire import errors
from scraper.net.wire.errors import kind_of
from scraper.net.wire.resolver import Resolver
from scraper.net.wire.wire import Wire
from tests.support.certificates import PAST, tls, trusting
from tests.support.raw_server import Client, answering, ok, serve
from tests.support.wire_client import get, kind, wire


class JumpLoop(asyncio.SelectorEventLoop):
    """A real loop whose clock can be moved forward."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


@pytest.fixture
def jump() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=JumpLoop) as runner:
        yield runner


# --- requests as written


async def test_exactly_the_headers_of_the_request_go_out() -> None:
    """Nothing is added to what the caller wrote, and the URL is sent as it is."""
    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        headers = [("User-Agent", "bot"), ("X-Two", "1"), ("X-Two", "2")]
        await get(transport, server.url("/a%2Fb?q=%20;x"), headers=headers)
    head = f"GET /a%2Fb?q=%20;x HTTP/1.1\r\nHost: {server.netloc}\r\nUser-Agent: bot\r\nX-Two: 1\r\nX-Two: 2"
    assert server.requests == [head.encode() + b"\r\n\r\n"]


async def test_bodies_are_sent_with_their_framing() -> None:
    """A known body goes with Content-Length, a streamed one chunked."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with serve(answering(ok(b""), keep=False)) as server, wire() as transport:
        await get(transport, server.url(), "POST", content=b"hello")
        assert server.requests[0].endswith(b"Content-Length: 5\r\n\r\nhello")
    received: list[bytes] = []

    async def chunked(client: Client) -> None:
        received.append(await client.request() + await client.upto(b"0\r\n\r\n"))
        await client.send(ok())

    async with serve(chunked) as server, wire() as transport:
        await get(transport, server.url(), "POST", content=parts())
    assert received[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n7\r\none two\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", [(b"X-A", b"b\r\nX-Evil: 1")]),
        ("GET", [(b"X-A", b"b\nX-Evil: 1")]),
        ("GET", [(b"X-A", b"b\0c")]),
        ("GET", [(b"X-A: 1\r\nX-Evil", b"1")]),
        ("GET", [(b"X A", b"1")]),
        ("GET / HTTP/1.1\r\nX-EVIL: 1\r\n\r\nGET", []),
    ],
)
async def test_sec_54_line_breaks_are_refused_before_a_byte_is_sent(
    method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    """A CR, LF or NUL in method or headers never reaches a server."""
    async with serve(answering(ok())) as server, wire() as transport:
        with pytest.raises(httpx.LocalProtocolError):
            await get(transport, server.url(), method, headers=headers)
        assert server.opened == 0


async def test_response_headers_arrive_as_bytes_in_order() -> None:
    """Header fields are those of the wire: order, case, duplicates and bytes above ASCII."""
    answer = b"HTTP/1.1 200 OK\r\nX-b: 1\r\nx-A: \xe9\xff\r\nX-b: 2\r\nContent-Length: 0\r\n\r\n"
    async with serve(answering(answer)) as server, wire() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        await response.aclose()
    assert response.headers.raw[:3] == [(b"X-b", b"1"), (b"x-A", b"\xe9\xff"), (b"X-b", b"2")]


# --- answers, right and wrong

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "host_07_length_too_short": (ok(b"hello") + b" and more", 200, b"hello"),
    "host_09_length_and_chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
    ),
    "host_11_no_colon": (ok(b"hello", "nonsense"), 200, b"hello"),
    "host_12_obs_fold": (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "host_12_bare_lf": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, b"hello"),
    "host_15_http_1_0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "host_15_no_reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "host_15_status_999": (b"HTTP/1.1 999 Denied\r\nContent-Length: 5\r\n\r\nhello", 999, b"hello"),
    "host_17_204_with_body": (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", 204, b""),
    "host_17_304_with_body": (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nhello", 304, b""),
    "host_04_eight_interim": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 8 + ok(b"hello"), 200, b"hello"),
    "chunked": (CHUNKED + b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hello"),
    "header_60_kb": (ok(b"hello", "X: " + "a" * 60_000), 200, b"hello"),
    "900_headers": (ok(b"hello", *["X: a"] * 900), 200, b"hello"),
    "bare_lf_large": (b"HTTP/1.1 200 OK\nContent-Length: 400000\n\n" + b"x" * 400_000, 200, b"x" * 400_000),
}
BAD = {
    "host_04_nine_interim": (b"HTTP/1.1 103 Early\r\n\r\n" * 9 + ok(), "protocol"),
    "host_05_closes_at_once": (b"", "connection"),
    "closes_in_head": (b"HTTP/1.1 200 OK\r\nConte", "connection"),
    "host_06_length_too_long": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "incomplete"),
    "host_08_chunk_size": (CHUNKED + b"ZZ\r\nhello\r\n", "protocol"),
    "host_08_later_chunk_size": (CHUNKED + b"5\r\nhello\r\nZZ\r\nhello\r\n", "protocol"),
    "host_08_no_last_chunk": (CHUNKED + b"5\r\nhello\r\n", "incomplete"),
    "host_10_two_lengths": (ok(b"hello", "Content-Length: 6"), "protocol"),
    "host_10_negative_length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", "protocol"),
    "host_13_nul": (ok(b"hello", "X: a\0b"), "protocol"),
    "host_14_200_kb_header": (ok(b"hello", "X: " + "a" * 200_000), "headers-too-large"),
    "host_14_20k_headers": (ok(b"hello", *["X: a"] * 20_000), "headers-too-large"),
    "host_14_large_in_sum": (ok(b"hello", *["X: " + "a" * 1_000] * 900), "headers-too-large"),
    "host_16_http_0_9": (b"<html>naked</html>", "protocol"),
    "switch_not_asked_for": (b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_answers_that_can_be_read_are_read(name: str) -> None:
    """Odd but readable answers give their status and body."""
    answer, status, body = GOOD[name]
    async with serve(answering(answer, keep=False)) as server, wire() as transport:
        assert await get(transport, server.url()) == (status, body)
        assert await get(transport, server.url()) == (status, body)


@pytest.mark.parametrize("name", BAD)
async def test_answers_that_are_wrong_have_a_kind(name: str) -> None:
    """Answers that are no valid HTTP end in an error of their kind, and leave no connection."""
    answer, expected = BAD[name]
    async with serve(answering(answer, keep=False)) as server, wire() as transport:
        assert await kind(transport, server.url()) == expected
        await server.quiet()
        assert server.alive == 0


async def test_host_17_head_answers_have_no_body() -> None:
    """A body sent for HEAD is ignored, and its connection not used again."""
    async with serve(answering(ok(b"hello"))) as server, wire() as transport:
        assert await get(transport, server.url(), "HEAD") == (200, b"")
        assert await get(transport, server.url(), "HEAD") == (200, b"")
        assert server.opened == 2


async def test_host_04_interim_answers_one_by_one_for_ever_are_cut() -> None:
    """A server that sends 103 after 103 is left after eight."""

    async def handler(client: Client) -> None:
        await client.request()
        while await client.send(b"HTTP/1.1 103 Early\r\n\r\n"):
            continue

    async with serve(handler) as server, wire() as transport:
        assert await kind(transport, server.url()) == "protocol"


async def test_head_without_end_is_cut() -> None:
    """Header lines for ever end at the limit of a whole head."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 200 OK\r\n")
        while await client.send(b"X: " + b"a" * 60_000 + b"\r\n"):
            continue

    async with serve(handler) as server, wire() as transport:
        assert await kind(transport, server.url()) == "headers-too-large"


async def test_host_45_reset_at_accept_and_in_the_body_is_a_connection_error() -> None:
    """RST is `connection`, never a complete answer, with and without a Content-Length."""

    def breaking(start: bytes) -> Callable[[Client], Awaitable[None]]:
        async def handler(client: Client) -> None:
            await client.request()
            await client.send(start)
            await asyncio.sleep(0)
            client.reset()

        return handler

    for start in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe", b"HTTP/1.1 200 OK\r\n\r\nhe"):
        async with serve(breaking(start)) as server, wire() as transport:
            assert await kind(transport, server.url()) == "connection"


async def test_host_58_complete_body_does_not_wait_for_the_close() -> None:
    """A server that sends Connection: close and keeps the line open costs no time."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"done", "Connection: close"))
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        assert await get(transport, server.url()) == (200, b"done")
        await server.quiet()
        assert server.alive == 0


async def test_chunks_are_bounded_and_whole() -> None:
    """A large body arrives complete, in chunks up to 64 KiB."""
    body = bytes(range(256)) * 8_192
    async with serve(answering(ok(body))) as server, wire() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = [chunk async for chunk in response.stream]
        await response.stream.aclose()
    assert b"".join(chunks) == body
    assert max(map(len, chunks)) <= 65_536


async def test_sec_35_host_59_tiny_chunks_arrive_whole() -> None:
    """One-byte chunks by the ten thousand are one body."""
    answer = CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    async with serve(answering(answer)) as server, wire() as transport:
        assert await get(transport, server.url()) == (200, b"x" * 50_000)


# --- connections


async def test_connections_are_kept_alive_and_reused() -> None:
    """Ten requests after each other go over one connection."""
    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        for _ in range(10):
            assert await get(transport, server.url()) == (200, b"hi")
        assert server.opened == 1


async def test_unread_answer_closes_its_connection() -> None:
    """An answer closed before its end frees the socket, and the sender stops."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 302 Found\r\nContent-Length: 200000000\r\n\r\n")
        while await client.send(b"x" * 16_384):
            continue

    async with serve(handler) as server, wire() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        await response.aclose()
        await server.quiet()
        assert server.alive == 0
        assert server.sent < 20_000_000


def closing_half(answer: bytes) -> Callable[[Client], Awaitable[None]]:
    """A server that keeps a connection for one answer, then drops the next request unanswered."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(answer)
        await client.request()

    return handler


async def test_host_05_host_56_dead_idle_connection_is_not_seen() -> None:
    """A GET on an idle connection that dies unanswered is sent once more, under a permit of its own."""
    permits = []

    async def permit() -> None:
        permits.append(1)

    async with serve(closing_half(ok(b"hi"))) as server, wire() as transport:
        for _ in range(6):
            assert await get(transport, server.url(), extensions={"before_send": permit}) == (200, b"hi")
        assert len(server.requests) == len(permits)
        assert len(permits) > 6


async def test_post_is_not_sent_twice() -> None:
    """A POST whose connection dies unanswered fails, for the server may have acted on it."""
    async with serve(closing_half(ok(b"hi"))) as server, wire() as transport:
        await get(transport, server.url())
        assert await kind(transport, server.url(), "POST") == "connection"
        assert len(server.requests) == 2


async def test_fresh_connection_that_dies_is_not_tried_again() -> None:
    """Only an idle connection earns a second send."""
    async with serve(answering(b"", keep=False)) as server, wire() as transport:
        assert await kind(transport, server.url()) == "connection"
        assert len(server.requests) == 1


async def test_half_an_answer_is_not_repeated() -> None:
    """Once a byte of an answer arrived the request is not sent again."""
    half = b"HTTP/1.1 200 OK\r\nContent-Le"

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"hi"))
        await client.request()
        await client.send(half)

    async with serve(handler) as server, wire() as transport:
        await get(transport, server.url())
        assert await kind(transport, server.url()) == "connection"
        assert len(server.requests) == 2


async def test_connection_that_dies_while_its_request_waits_is_replaced() -> None:
    """Nothing was sent, so even a POST goes to a fresh connection, under a fresh permit."""
    permits: list[int] = []
    drop = asyncio.Event()

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"hi"))
        await (drop.wait() if client.number == 1 else client.gone())

    async with serve(handler) as server, wire() as transport:

        async def permit() -> None:
            permits.append(server.opened)
            if len(permits) == 1:
                drop.set()
                await server.quiet()
                for _ in range(9):  # until the loop has read the end of the connection
                    await asyncio.sleep(0)

        await get(transport, server.url())
        assert await get(transport, server.url(), "POST", extensions={"before_send": permit}) == (200, b"hi")
        assert len(permits) == 2
        assert server.opened == 2


async def test_unasked_answer_is_never_taken_for_the_next_one() -> None:
    """What a server sends between two requests poisons no later answer (a 408 before it closes)."""
    sent = asyncio.Event()

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"right"))
        await client.send(ok(b"poison", status="408 Request Timeout"))
        sent.set()
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        for _ in range(3):
            assert await get(transport, server.url()) == (200, b"right")
            await sent.wait()
            await asyncio.sleep(0)
        assert server.opened == 3


async def test_sec_14_cancelled_requests_never_mix_answers() -> None:
    """After hundreds of cancellations every body still belongs to its URL."""

    async def handler(client: Client) -> None:
        while request := await client.request():
            if not await client.send(ok(request.split()[1])):
                return

    async with serve(handler) as server, wire() as transport:

        async def one(number: int) -> None:
            path = f"/{number}"
            assert await get(transport, server.url(path)) == (200, path.encode())

        tasks = [asyncio.create_task(one(number)) for number in range(300)]
        for number, task in enumerate(tasks):
            if number % 3:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert sum(result is None for result in results) >= 100


async def test_cancelling_while_waiting_for_the_permit_leaks_no_connection() -> None:
    """20 requests cancelled between connection and first byte leave 0 sockets."""

    waiting = asyncio.Semaphore(0)

    async def never() -> None:
        waiting.release()
        await asyncio.Event().wait()

    async def handler(client: Client) -> None:
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        held = {"before_send": never}
        tasks = [asyncio.create_task(get(transport, server.url(), extensions=held)) for _ in range(20)]
        for _ in tasks:
            await waiting.acquire()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.quiet()
        assert (server.opened, server.alive, server.requests) == (20, 0, [])


async def test_closing_the_wire_ends_what_is_in_flight() -> None:
    """A request that is reading when the transport closes fails, rather than wait for ever."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe")
        await client.gone()

    async with serve(handler) as server, wire() as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = response.stream.__aiter__()
        await anext(chunks)
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(httpx.ReadError):
            await waiting
        await response.stream.aclose()


# --- names and addresses


class Names:
    """A name server: answers per name, counted; a name without an answer blocks until `release`."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, port: Any, **options: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        answer = self.answers.get(host.partition(".")[0])
        if answer is None:
            self.release.wait(30)
            answer = self.answers.get(host.partition(".")[0], socket.gaierror(socket.EAI_AGAIN, "too late"))
        if isinstance(answer, Exception):
            raise answer
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in answer
        ]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs ::1")
NOBODY = socket.gaierror(socket.EAI_NONAME, "not known")


async def test_names_are_resolved_by_our_resolver() -> None:
    """A name goes through the resolver given, and the connection to the address it says."""
    names = Names(books=["127.0.0.1"])
    async with serve(answering(ok(b"hi"))) as server, wire(resolver=Resolver(getaddrinfo=names)) as transport:
        assert await get(transport, server.url(host="books.example")) == (200, b"hi")
        assert names.asked == ["books.example"]
        assert f"Host: books.example:{server.port}".encode() in server.requests[0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (NOBODY, "dns"),
        ([], "dns"),
        (UnicodeError("label too long"), "dns"),
        (socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"), "dns-timeout"),
    ],
)
async def test_host_47_names_without_an_address_have_their_kind(answer: Any, expected: str) -> None:
    """No such host and a failing name server are told apart."""
    async with wire(resolver=Resolver(getaddrinfo=Names(x=answer))) as transport:
        assert await kind(transport, "http://x.example/") == expected


async def test_host_47_dead_address_does_not_hide_a_live_one() -> None:
    """With a hundred addresses of which one answers, that one is found."""
    async with serve(answering(ok(b"hi"))) as server:
        names = Names(many=[f"127.0.0.{i}" for i in range(2, 101)] + ["127.0.0.1"])
        async with wire(resolver=Resolver(getaddrinfo=names)) as transport:
            assert await get(transport, server.url(host="many.example")) == (200, b"hi")


@ipv6
async def test_host_47_a_host_with_ipv6_only_is_read() -> None:
    """A name whose only address is an IPv6 one is read there, and so is the address itself."""
    names = wire(resolver=Resolver(getaddrinfo=Names(six=["::1"])))
    async with serve(answering(ok(b"hi")), hosts=["::1"]) as server, names as transport:
        assert await get(transport, server.url(host="six.example")) == (200, b"hi")
        assert await get(transport, server.url(host="[::1]")) == (200, b"hi")


@ipv6
async def test_host_47_an_ipv6_address_that_swallows_everything_hides_no_live_one() -> None:
    """Where nothing answers at the first address, the second is tried beside it long before the connect limit."""
    async with serve(answering(ok(b"hi"))) as server:
        with socket.socket(socket.AF_INET6) as full, socket.socket(socket.AF_INET6) as waiting:
            full.bind(("::1", server.port))
            full.listen(0)
            waiting.connect(("::1", server.port))  # the queue is full now: who comes next gets no answer
            names = Names(both=["::1", "127.0.0.1"])
            async with wire(resolver=Resolver(getaddrinfo=names), connect_timeout=30.0) as transport:
                async with asyncio.timeout(10):
                    assert await get(transport, server.url(host="both.example")) == (200, b"hi")


def test_host_47_slow_name_has_a_deadline_and_stops_no_other(jump: asyncio.Runner) -> None:
    """Dead names end as dns-timeout at their deadline while other names are answered at once."""
    names = Names(good=["127.0.0.1"])

    async def main() -> None:
        resolver = Resolver(getaddrinfo=names, threads=8, deadline=10.0)
        dead = [asyncio.ensure_future(resolver.resolve(f"dead{i}.example")) for i in range(7)]
        await asyncio.sleep(0)
        assert await resolver.resolve("good.example") == ("127.0.0.1",)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpLoop)
        loop.offset += 11
        for result in await asyncio.gather(*dead, return_exceptions=True):
            assert isinstance(result, errors.NameTimeout)
        names.release.set()
        await resolver.close()

    jump.run(main())


def test_host_47_answers_are_cached_good_and_bad(jump: asyncio.Runner) -> None:
    """A name is asked once a minute, a missing one once in two seconds, by however many at once."""
    names = Names(good=["127.0.0.1"], bad=NOBODY)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpLoop)
        resolver = Resolver(getaddrinfo=names)

        async def ask(host: str) -> None:
            with contextlib.suppress(errors.NoSuchHost):
                await resolver.resolve(host)

        for seconds, asked in [(0, 2), (1, 2), (2, 3), (58, 5), (1, 5)]:
            loop.offset += seconds
            await asyncio.gather(*map(ask, ["good.example", "bad.example", "GOOD.example."] * 9))
            assert len(names.asked) == asked
        await resolver.close()

    jump.run(main())


@pytest.mark.parametrize(
    "passing",
    [
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        socket.gaierror(socket.EAI_SYSTEM, "system error"),
        OSError(errno.EIO, "what EAI_SYSTEM comes as"),
    ],
)
async def test_a_lookup_that_may_work_next_time_is_not_remembered(passing: Exception) -> None:
    """W3: "try again" and faults of the system serve those who waited; the next to ask starts a lookup of its own."""
    names = Names(flaky=passing)
    resolver = Resolver(getaddrinfo=names)
    ended = await asyncio.gather(
        *(resolver.resolve("flaky.example") for _ in range(5)), return_exceptions=True
    )
    assert [type(error) for error in ended] == [errors.NameTimeout] * 5
    assert len(names.asked) == 1
    assert all(isinstance(error, errors.NameTimeout) and error.retry_in is None for error in ended)
    names.answers["flaky"] = ["127.0.0.1"]
    assert await resolver.resolve("flaky.example") == ("127.0.0.1",)
    await resolver.close()


def test_a_remembered_failure_says_for_how_long(jump: asyncio.Runner) -> None:
    """W3: an answer from the cache carries its end, a little later than the cache forgets it."""
    names = Names(bad=NOBODY)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpLoop)
        resolver = Resolver(getaddrinfo=names, negative_ttl=10.0)
        for passed, left in [(0, 10), (7, 3)]:
            loop.offset += passed
            with pytest.raises(errors.NoSuchHost) as caught:
                await resolver.resolve("bad.example")
            assert left - 1 < (caught.value.retry_in or 0) <= left + 0.1
        loop.offset += caught.value.retry_in or 0
        with pytest.raises(errors.NoSuchHost):
            await resolver.resolve("bad.example")
        assert len(names.asked) == 2
        await resolver.close()

    jump.run(main())


@pytest.mark.parametrize(
    "answer", [OSError(errno.EMFILE, "too many"), socket.gaierror(socket.EAI_MEMORY, "memory")]
)
async def test_a_lookup_without_a_descriptor_is_this_machines_fault(answer: Exception) -> None:
    """W2: a lookup that met a limit of this machine says nothing of the name, and is not remembered."""
    names = Names(x=answer)
    async with wire(resolver=Resolver(getaddrinfo=names)) as transport:
        assert await kind(transport, "http://x.example/") == "machine"
        assert await kind(transport, "http://x.example/") == "machine"
    assert len(names.asked) == 2


async def test_a_lookup_without_a_thread_is_this_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """W2: where no thread can be started a lookup ends as `machine`; with one at work it waits for that one."""
    names, start = Names(a=["127.0.0.1"], b=["127.0.0.2"]), threading.Thread.start
    full = [True, False, True]

    def start_or_fail(thread: threading.Thread) -> None:
        if full.pop(0):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    resolver = Resolver(getaddrinfo=names)
    with pytest.raises(errors.MachineLimit):
        await resolver.resolve("a.example")
    both = await asyncio.gather(resolver.resolve("a.example"), resolver.resolve("b.example"))
    assert both == [("127.0.0.1",), ("127.0.0.2",)]
    await resolver.close()


@pytest.mark.parametrize("number", sorted(LIMIT_ERRNOS))
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_sockets_that_this_machine_refuses_are_its_own_fault(
    number: int, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W2: a connect that meets any limit is kind `machine`, not the site's `connect`; once it passes, requests do."""

    class Refused(socket.socket):
        def __init__(self, *more: Any, fileno: int | None = None, **named: Any) -> None:
            if fileno is None:
                raise OSError(number, os.strerror(number))
            super().__init__(*more, fileno=fileno, **named)

    async with serve(answering(ok(b"hi"))) as server, wire(guard=Guard({server.netloc})) as transport:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Refused)
            assert await kind(transport, server.url(scheme=scheme)) == "machine"
        assert server.opened == 0
        assert await get(transport, server.url()) == (200, b"hi")


async def test_foreign_transports_meet_limits_as_well() -> None:
    """W2: whatever a transport raised, a limit below it is what it is about."""
    failed = httpx.ConnectError("All connection attempts failed")
    failed.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert errors.kind_of(failed) == "machine"


async def test_resolver_memory_is_bounded() -> None:
    """The cache forgets the names used longest ago."""
    names = Names(**{f"n{i}": ["127.0.0.1"] for i in range(9)})
    resolver = Resolver(getaddrinfo=names, size=3)
    for i in [0, 1, 2, 0, 3, 0, 1]:
        await resolver.resolve(f"n{i}.example")
    assert [name.partition(".")[0] for name in names.asked] == ["n0", "n1", "n2", "n3", "n1"]
    await resolver.close()


async def test_cancelled_lookup_does_not_cancel_it_for_others() -> None:
    """One flight serves all who wait for a name, whoever of them leaves."""
    names = Names()
    resolver = Resolver(getaddrinfo=names)
    first, second = (asyncio.ensure_future(resolver.resolve("slow.example")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    names.answers["slow"] = ["127.0.0.1"]
    names.release.set()
    assert await second == ("127.0.0.1",)
    assert first.cancelled()
    assert names.asked == ["slow.example"]
    await resolver.close()


def test_stuck_lookup_does_not_hold_the_exit() -> None:
    """An interpreter with a lookup that never returns ends."""
    code = """
import asyncio, threading
from scraper.net.wire.resolver import Resolver
async def main():
    resolver = Resolver(getaddrinfo=lambda *a, **k: threading.Event().wait(), deadline=0.01)
    try:
        await resolver.resolve("dead.example")
    except Exception as error:
        print(error.kind)
    await resolver.close()
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == (b"dns-timeout\n", b"")


# --- the guard

LITERALS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "localhost",
    "localhost.",
]


@pytest.mark.parametrize("host", LITERALS)
async def test_sec_22_page_given_local_addresses_are_never_connected_to(host: str) -> None:
    """No spelling of this machine gets a TCP connection."""
    async with serve(answering(ok())) as server, wire(guard=Guard()) as transport:
        assert await kind(transport, server.url(host=host)) in ("private-address", "bad-url")
        assert server.opened == 0


PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fd00::1]"]


@pytest.mark.parametrize("host", PRIVATE)
async def test_sec_22_private_networks_are_refused_before_a_socket(host: str) -> None:
    """Private, shared and metadata addresses are refused by their kind."""
    async with wire(guard=Guard()) as transport:
        assert await kind(transport, f"http://{host}/") == "private-address"


async def test_sec_22_names_that_point_inside_are_refused() -> None:
    """A public name with only private addresses is not connected to."""
    names = Names(nip=["127.0.0.1", "10.0.0.7"])
    async with serve(answering(ok())) as server:
        async with wire(guard=Guard(), resolver=Resolver(getaddrinfo=names)) as transport:
            assert await kind(transport, server.url(host="nip.example")) == "private-address"
        assert server.opened == 0


class OneIsPublic(Guard):
    """A guard for which one address of this machine is a public one."""

    def allows(self, netloc: str, address: str) -> bool:
        return address == "127.0.0.2"


async def test_sec_22_rebinding_is_refused() -> None:
    """It is the address connected to that counts, each time: a name that was public once may be private now."""
    names = Names(rebind=["127.0.0.2"])
    resolver = Resolver(getaddrinfo=names, ttl=0.0)
    async with serve(answering(ok(b"hi"), keep=False), hosts=["127.0.0.1", "127.0.0.2"]) as server:
        async with wire(guard=OneIsPublic(), resolver=resolver) as transport:
            assert await get(transport, server.url(host="rebind.example")) == (200, b"hi")
            names.answers["rebind"] = ["127.0.0.1"]
            assert await kind(transport, server.url(host="rebind.example")) == "private-address"
        assert server.opened == 1


async def test_sec_22_exemption_holds_for_the_named_host_and_port_only() -> None:
    """A named server is reached; another port of the same machine, and another name for it, are not."""
    async with serve(answering(ok(b"hi"))) as named, serve(answering(ok())) as other:
        async with wire(guard=Guard({named.netloc})) as transport:
            assert await get(transport, named.url()) == (200, b"hi")
            assert await kind(transport, other.url()) == "private-address"
            assert await kind(transport, named.url(host="localhost")) == "private-address"
        assert other.opened == 0


async def test_a_wire_without_guard_says_so() -> None:
    """The guarantees name the address guard exactly when there is one."""
    assert "address-guard" in Wire.guarantees
    assert "address-guard" in Wire(guard=Guard()).guarantees
    assert Wire().guarantees == Wire.guarantees - {"address-guard"}


# --- connecting and TLS


async def test_refused_connection_is_connect() -> None:
    """A port nobody listens on is `connect`."""
    async with serve(answering(ok())) as server:
        port = server.port
    async with wire() as transport:
        assert await kind(transport, f"http://127.0.0.1:{port}/") == "connect"


async def test_host_46_black_hole_is_connect_timeout() -> None:
    """A host that never completes the handshake ends at the connect limit."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"https://127.0.0.1:{full.getsockname()[1]}/"
        async with wire(connect_timeout=0.05) as transport:
            assert await kind(transport, url) == "connect-timeout"


@pytest.mark.parametrize("url", ["ftp://x.example/", "file:///etc/passwd", "gopher://x.example/"])
async def test_sec_20_other_schemes_are_refused(url: str) -> None:
    """Only http and https are spoken."""
    async with wire() as transport:
        assert await kind(transport, url) == "unsupported-scheme"


@pytest.mark.parametrize("url", ["http:///path", "http://"])
async def test_urls_without_host_are_refused(url: str) -> None:
    """A URL without a host is `bad-url`."""
    async with wire() as transport:
        assert await kind(transport, url) == "bad-url"


def old_tls(name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server that speaks TLS 1.0 and nothing newer."""
    context = tls(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


async def test_tls_answers_are_read() -> None:
    """A server whose certificate is trusted is read over TLS, connection reused."""
    async with serve(answering(ok(b"hi" * 99_999)), tls()) as server, wire(verify=trusting()) as transport:
        for _ in range(2):
            assert await get(transport, server.url()) == (200, b"hi" * 99_999)
        assert server.opened == 1


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (tls(authority=trustme.CA()), "unable to get local issuer"),
        (tls(not_before=PAST, not_after=PAST + datetime.timedelta(days=1)), "expired"),
        (tls("other.example"), "mismatch"),
    ],
    ids=["unknown issuer", "expired", "wrong name"],
)
async def test_sec_13_host_48_bad_certificates_are_tls_errors(context: ssl.SSLContext, reason: str) -> None:
    """A certificate that is not valid is refused, with the reason; only verify=False reads on."""
    async with serve(answering(ok(b"hi")), context) as server:
        async with wire(verify=trusting()) as transport:
            with pytest.raises(errors.TlsFailed, match=reason):
                await get(transport, server.url())
        async with wire(verify=False) as transport:
            assert await get(transport, server.url()) == (200, b"hi")


async def test_host_48_a_server_of_tls_1_0_is_a_tls_error() -> None:
    """A server that speaks nothing newer is `tls`, whether its certificate is asked for or not."""

    def shake(server: socket.socket) -> None:
        for _ in range(2):
            connection = server.accept()[0]
            with connection, contextlib.suppress(ssl.SSLError):
                old_tls().wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        shaking = asyncio.ensure_future(asyncio.to_thread(shake, server))
        for verify in (trusting(), False):
            async with wire(verify=verify) as transport:
                assert await kind(transport, f"https://127.0.0.1:{server.getsockname()[1]}/") == "tls"
        await shaking


async def test_host_48_plain_http_on_a_tls_port_is_a_tls_error() -> None:
    """A server that speaks no TLS is `tls`, without a certificate to blame."""

    async def handler(client: Client) -> None:
        await client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await client.gone()

    async with serve(handler) as server, wire(verify=trusting()) as transport:
        assert await kind(transport, server.url().replace("http:", "https:")) == "tls"


# --- kinds


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


FOREIGN = [
    (httpx.ConnectTimeout("x"), "connect-timeout"),
    (httpx.PoolTimeout("x"), "connect-timeout"),
    (httpx.ReadTimeout("x"), "timeout"),
    (httpx.WriteTimeout("x"), "timeout"),
    (httpx.ConnectError("x"), "connect"),
    (wrapped(httpx.ConnectError("x"), NOBODY), "dns"),
    (wrapped(httpx.ConnectError("x"), wrapped(OSError("y"), ssl.SSLError(1, "z"))), "tls"),
    (httpx.ProxyError("x"), "proxy"),
    (httpx.ReadError("x"), "connection"),
    (httpx.WriteError("x"), "connection"),
    (httpx.CloseError("x"), "connection"),
    (httpx.RemoteProtocolError("x"), "protocol"),
    (httpx.UnsupportedProtocol("x"), "unsupported-scheme"),
    (httpx.DecodingError("x"), "decode"),
    (httpx.TooManyRedirects("x"), "too-many-redirects"),
    (httpx.InvalidURL("x"), "bad-url"),
    (httpx.LocalProtocolError("x"), "transport"),
    (TimeoutError(), "timeout"),
    (KeyError("x"), "transport"),
]


@pytest.mark.parametrize(("error", "expected"), FOREIGN)
def test_every_exception_has_a_kind(error: Exception, expected: str) -> None:
    """Foreign transports' exceptions map to the documented kinds."""
    assert kind_of(error) == expected
    assert expected in KINDS


def test_every_wire_error_has_its_own_kind() -> None:
    """The wire's errors are httpx transport errors, one kind each, all documented."""
    found = errors.WireError.__subclasses__()
    assert len({error.kind for error in found}) == len(found)
    assert {error.kind for error in found} <= set(KINDS)
    assert all(issubclass(error, httpx.TransportError) for error in found)


def test_the_roots_are_read_when_they_are_needed_and_then_are_all_there() -> None:
    """A wire that was made has read no roots; its first https connection has those of any other context."""
    code = (
        "import asyncio, ssl, contextlib\n"
        "from scraper.net.wire.wire import Wire\n"
        "import httpx\n"
        "made = []\n"
        "def watched(**options):\n"
        "    made.append(make(**options))\n"
        "    return made[-1]\n"
        "make, ssl.create_default_context = ssl.create_default_context, watched\n"
        "async def main():\n"
        "    wire = Wire()\n"
        "    for scheme in ('http', 'https'):\n"
        "        assert made == [], scheme\n"
        "        server = await asyncio.start_server(lambda reader, writer: writer.close(), '127.0.0.1', 0)\n"
        "        url = f'{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/'\n"
        "        with contextlib.suppress(httpx.TransportError):\n"
        "            await wire.handle_async_request(httpx.Request('GET', url))\n"
        "        server.close()\n"
        "    await wire.aclose()\n"
        "asyncio.run(main())\n"
        "fresh = make()\n"
        "assert made[0].verify_mode is ssl.CERT_REQUIRED and made[0].check_hostname\n"
        "assert made[0].cert_store_stats() == fresh.cert_store_stats()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
