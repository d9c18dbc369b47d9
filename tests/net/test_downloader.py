from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import respx

from scraper.errors import KINDS, FetchError
from scraper.net.downloader import Downloader, Limits, Reply
from scraper.net.wire.wire import Wire
from tests.support.raw_server import Client, answering, ok, serve

Handler = Callable[[httpx.Request], httpx.Response]
URL = "http://books.example/page"
LIMITS = ("deadline", "max_body", "max_decoded", "partial", "truncate")


class Permits:
    """Counts the permits given."""

    def __init__(self) -> None:
        self.given = 0

    async def __call__(self) -> None:
        self.given += 1


class JumpLoop(asyncio.SelectorEventLoop):
    """A real loop whose clock can be moved forward."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


async def jump(seconds: float) -> None:
    """Let `seconds` pass at once, and everything that was due in them happen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpLoop)
    loop.offset += seconds
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
def jumping() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=JumpLoop) as runner:
        yield runner


async def fetch(
    transport: httpx.AsyncBaseTransport, url: str = URL, method: str = "GET", **options: Any
) -> Reply:
    options.setdefault("permit", Permits())
    limits = Limits(**{k: options.pop(k) for k in LIMITS if k in options})
    return await Downloader({"": transport}).fetch(httpx.Request(method, url), limits=limits, **options)


async def failure(transport: httpx.AsyncBaseTransport, url: str = URL, **options: Any) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetch(transport, url, **options)
    assert caught.value.kind in KINDS
    assert str(caught.value)
    assert "Error" not in str(caught.value)
    return caught.value


@contextlib.asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    transport = Wire()
    try:
        yield transport
    finally:
        await transport.aclose()


class Stream(httpx.AsyncByteStream):
    """Chunks one by one; knows how many were taken and whether it was closed."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            self.taken += 1
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


def mock(stream: Stream, status: int = 200, **headers: str) -> httpx.MockTransport:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=named, stream=stream))


# --- every transport


async def app(scope: Any, receive: Any, send: Any) -> None:
    """A small ASGI application."""
    headers = [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    packed = gzip.compress(b"hello " + scope["path"].encode())
    await send({"type": "http.response.body", "body": packed[:9], "more_body": True})
    await send({"type": "http.response.body", "body": packed[9:]})


async def test_mock_transport_is_read() -> None:
    """httpx.MockTransport works, and its permit comes before the call."""
    permits = Permits()

    def handler(request: httpx.Request) -> httpx.Response:
        assert permits.given == 1
        packed = gzip.compress(b"hello")
        return httpx.Response(200, headers={"Content-Encoding": "gzip", "X-A": "b"}, content=packed)

    reply = await fetch(httpx.MockTransport(handler), permit=permits)
    assert (reply.url, reply.status, reply.body, reply.complete) == (URL, 200, b"hello", True)
    assert reply.headers["x-a"] == "b"
    assert reply.wire_bytes == len(gzip.compress(b"hello"))
    assert permits.given == 1


async def test_respx_is_read() -> None:
    """A respx router plugs in as a transport."""
    router = respx.Router()
    router.get(URL).respond(200, text="hello")
    reply = await fetch(httpx.MockTransport(router.async_handler))
    assert (reply.status, reply.body) == (200, b"hello")


async def test_asgi_application_is_read() -> None:
    """httpx.ASGITransport works, decoding included."""
    reply = await fetch(httpx.ASGITransport(app))
    assert (reply.status, reply.body) == (200, b"hello /page")


async def test_httpx_own_transport_is_read() -> None:
    """httpx.AsyncHTTPTransport works, and keeps its connection alive."""
    packed = gzip.compress(b"hello" * 9_999)
    permits = Permits()
    async with serve(answering(ok(packed, "Content-Encoding: gzip"))) as server:
        async with httpx.AsyncHTTPTransport() as transport:
            for _ in range(2):
                reply = await fetch(transport, server.url(), permit=permits)
                assert (reply.status, reply.body, reply.wire_bytes) == (200, b"hello" * 9_999, len(packed))
        assert server.opened == 1
    assert permits.given == 2


async def test_the_wire_gets_its_permit_between_connection_and_first_byte() -> None:
    """With our own transport the permit is taken last, when the connection stands."""
    async with serve(answering(ok(b"hello"))) as server, wire() as transport:

        async def permit() -> None:
            while not server.opened:  # noqa: ASYNC110 - the connection stands; its acceptance is a turn away
                await asyncio.sleep(0)
            assert server.requests == []

        reply = await fetch(transport, server.url(), permit=permit)
        assert (reply.status, reply.body) == (200, b"hello")
        assert reply.sent <= reply.ended


async def test_via_names_the_transport() -> None:
    """`via` chooses among named transports; an unknown name is an error that says it."""
    downloader = Downloader({"": mock(Stream(b"a")), "b": mock(Stream(b"b"))})
    request = httpx.Request("GET", URL)
    assert (await downloader.fetch(request, permit=Permits(), via="b")).body == b"b"
    with pytest.raises(FetchError, match="'c'"):
        await downloader.fetch(request, permit=Permits(), via="c")


# --- bodies


async def test_unwanted_body_is_not_read() -> None:
    """What `wanted` refuses at the headers is closed unread."""
    stream = Stream(b"x" * 99)
    reply = await fetch(mock(stream, 302, Location="/y"), wanted=lambda status, headers: status == 200)
    assert (reply.status, reply.body, reply.complete, reply.headers["location"]) == (302, b"", False, "/y")
    assert (stream.taken, stream.closed) == (0, True)


async def test_sec_33_host_27_redirect_with_a_large_body_costs_little() -> None:
    """Of a 200 MB redirect body next to nothing leaves the server."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 200000000\r\n\r\n")
        while await client.send(b"x" * 16_384):
            continue

    async with serve(handler) as server, wire() as transport:
        reply = await fetch(transport, server.url(), wanted=lambda status, headers: False)
        assert (reply.status, reply.body) == (302, b"")
        await server.quiet()
        assert server.sent < 20_000_000


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_host_17_answers_without_a_body_have_none(method: str, status: int) -> None:
    """HEAD, 204 and 304 have no body whatever a transport hands over, and are complete."""
    stream = Stream(b"hello")
    reply = await fetch(mock(stream, status, Content_Length="5"), method=method)
    assert (reply.body, reply.complete, stream.closed) == (b"", True, True)


@pytest.mark.parametrize("size", [1_000, 1_001])
async def test_host_03_body_limit_is_exact(size: int) -> None:
    """A body of the limit is read, one byte more is refused."""
    stream = Stream(*[b"x"] * size)
    if size == 1_000:
        assert (await fetch(mock(stream), max_body=1_000)).body == b"x" * 1_000
    else:
        assert (await failure(mock(stream), max_body=1_000)).kind == "body-too-large"
    assert stream.closed


async def test_announced_size_above_the_limit_is_refused_before_reading() -> None:
    """A Content-Length beyond the limit is believed."""
    stream = Stream(b"x")
    error = await failure(mock(stream, Content_Length=str(17 << 20)))
    assert (error.kind, str(error)) == ("body-too-large", "body larger than 16 MiB")
    assert (stream.taken, stream.closed) == (0, True)


async def test_sec_30_bomb_through_a_transport_is_too_large() -> None:
    """A body that grows beyond the limit when decoded is refused, and its stream closed."""
    stream = Stream(gzip.compress(bytes(40 << 20)))
    error = await failure(mock(stream, Content_Encoding="gzip"), max_decoded=16 << 20)
    assert (error.kind, str(error)) == ("body-too-large", "body larger than 16 MiB decoded")
    assert stream.closed


async def test_decoded_limit_holds_for_plain_bodies() -> None:
    """A body without a coding is not larger decoded than the decoded limit either."""
    assert (await failure(mock(Stream(b"x" * 11)), max_decoded=10)).kind == "body-too-large"


async def test_large_bodies_are_decoded_without_holding_the_loop() -> None:
    """Other tasks get their turn while a large body is inflated."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    reply = await fetch(mock(Stream(gzip.compress(bytes(40 << 20))), Content_Encoding="gzip"))
    task.cancel()
    assert len(reply.body) == 40 << 20
    assert turns >= 5


@pytest.mark.parametrize("raised", [None, httpx.RemoteProtocolError("peer closed connection")])
async def test_host_06_short_body_is_incomplete(raised: Exception | None) -> None:
    """Fewer bytes than announced is `incomplete`, whether the transport notices or not."""
    stream = Stream(b"hello") if raised is None else Stream(b"hello", raised)
    error = await failure(mock(stream, Content_Length="9"))
    assert (error.kind, str(error)) == ("incomplete", "the body ends after 5 of 9 bytes")
    assert stream.closed


async def test_host_06_short_body_is_incomplete_with_httpx_own_transport() -> None:
    """httpx's own transport reports a short body the same way."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
    async with serve(answering(answer, keep=False)) as server, httpx.AsyncHTTPTransport() as transport:
        assert (await failure(transport, server.url())).kind == "incomplete"


async def test_host_18_truncated_gzip_is_incomplete() -> None:
    """A compressed body that is cut off is an error, not a shorter page."""
    packed = gzip.compress(b"hello" * 99)[:-9]
    assert (await failure(mock(Stream(packed), Content_Encoding="gzip"))).kind == "incomplete"


async def test_host_19_plain_text_called_gzip_is_a_decode_error() -> None:
    """A body that is not what its header says has its own kind."""
    assert (await failure(mock(Stream(b"<html>"), Content_Encoding="gzip"))).kind == "decode"


async def test_host_21_empty_body_with_a_coding_is_empty() -> None:
    """No bytes need no coding."""
    reply = await fetch(mock(Stream(), Content_Encoding="gzip", Content_Length="0"))
    assert (reply.body, reply.complete) == (b"", True)


async def test_host_22_unknown_coding_is_kept_and_named() -> None:
    """What nobody can decode is handed on raw, and flagged."""
    reply = await fetch(mock(Stream(b"raw"), Content_Encoding="foo"))
    assert (reply.body, reply.unknown_coding) == (b"raw", "foo")


async def test_codings_in_two_headers_are_one_list() -> None:
    """Content-Encoding may be spread over several fields."""
    packed = gzip.compress(gzip.compress(b"hello"))
    fields = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    response = httpx.Response(200, headers=fields, stream=Stream(packed))
    assert (await fetch(httpx.MockTransport(lambda request: response))).body == b"hello"


@pytest.mark.parametrize(
    ("transfer", "content", "packed"),
    [
        ("gzip, chunked", "", gzip.compress(b"hello", mtime=0)),
        ("gzip", "", gzip.compress(b"hello", mtime=0)),
        ("GZIP;q=1, Chunked", "", gzip.compress(b"hello", mtime=0)),
        ("deflate, chunked", "", zlib.compress(b"hello")),
        ("gzip, chunked", "deflate", gzip.compress(zlib.compress(b"hello"), mtime=0)),
        ("identity", "", b"hello"),
        ("chunked", "gzip", gzip.compress(b"hello", mtime=0)),
    ],
)
async def test_transfer_codings_are_undone_before_content_codings(
    transfer: str, content: str, packed: bytes
) -> None:
    """W12: what a transport leaves of the transfer codings is decoded first, then the content codings."""
    headers = {"Transfer-Encoding": transfer} | ({"Content-Encoding": content} if content else {})
    response = httpx.Response(200, headers=headers, stream=Stream(packed))
    assert (await fetch(httpx.MockTransport(lambda request: response))).body == b"hello"


async def test_an_unknown_transfer_coding_is_a_decode_error() -> None:
    """W12: there is no body without its transfer coding, so nothing of it is handed on as if it were one."""
    error = await failure(mock(Stream(b"raw"), Transfer_Encoding="compress, chunked"))
    assert (error.kind, str(error)) == (
        "decode",
        "the body was sent in an unknown transfer coding (compress)",
    )


async def test_the_wire_leaves_a_gzip_transfer_coding_to_be_undone() -> None:
    """W12: gzip below chunked, over a socket, is a page like any other."""
    packed = gzip.compress(b"hello")
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + chunks
    async with serve(answering(answer)) as server, wire() as transport:
        assert (await fetch(transport, server.url())).body == b"hello"


@pytest.mark.parametrize(
    ("stream", "headers", "body"),
    [
        (Stream(b"hello"), {"Content_Length": "9"}, b"hello"),
        (Stream(b"hello", httpx.ReadError("reset")), {}, b"hello"),
        (Stream(gzip.compress(b"hello" * 99)[:-12]), {"Content_Encoding": "gzip"}, b"hello"),
    ],
)
async def test_a_short_body_may_be_taken_on_purpose(
    stream: Stream, headers: dict[str, str], body: bytes
) -> None:
    """With `partial` a body that ends too soon is what there is of it, and not complete."""
    reply = await fetch(mock(stream, **headers), partial=True)
    assert reply.body.startswith(body)
    assert not reply.complete
    assert stream.closed


async def test_transport_that_decodes_is_believed() -> None:
    """With the `decoded` extension neither coding nor length of the headers is applied."""
    fields = {"Content-Encoding": "gzip", "Content-Length": "3"}
    response = httpx.Response(200, headers=fields, stream=Stream(b"hello"), extensions={"decoded": True})
    assert (await fetch(httpx.MockTransport(lambda request: response))).body == b"hello"


@pytest.mark.parametrize("length", ["five", "-1", "5, 5", "9" * 30, "٥"])
async def test_unreadable_length_of_a_foreign_transport_is_ignored(length: str) -> None:
    """A Content-Length that is no number says nothing."""
    fields = [(b"Content-Length", length.encode())]
    response = httpx.Response(200, headers=fields, stream=Stream(b"hello"))
    assert (await fetch(httpx.MockTransport(lambda request: response))).body == b"hello"


# --- what goes wrong


class Raising(httpx.AsyncBaseTransport):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


RAISED = [
    (httpx.ConnectTimeout("x"), "connect-timeout"),
    (httpx.ReadError("x"), "connection"),
    (httpx.UnsupportedProtocol("x"), "unsupported-scheme"),
    (TimeoutError(), "timeout"),
    (ValueError("odd"), "transport"),
    (ExceptionGroup("many", [ValueError("odd")]), "transport"),
]


@pytest.mark.parametrize(("error", "kind"), RAISED)
async def test_whatever_a_transport_raises_is_a_fetch_error(error: Exception, kind: str) -> None:
    """No exception of a transport escapes, at the call or in the body."""
    assert (await failure(Raising(error))).kind == kind
    assert (await failure(mock(Stream(b"x", error)))).kind == kind


async def test_transport_without_an_asynchronous_body_is_named() -> None:
    """A synchronous body is the transport's fault, and said so."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=iter([b"x"])))
    assert (await failure(transport)).kind == "transport"


async def test_what_is_no_response_is_the_transports_fault() -> None:
    """A transport that returns something else does no harm."""
    transport = httpx.MockTransport(lambda request: None)  # type: ignore[arg-type]  # is meant
    assert (await failure(transport)).kind == "transport"


async def test_messages_are_sentences_for_people() -> None:
    """What a person reads names the host and what happened."""
    async with serve(answering(b"nonsense", keep=False)) as server, wire() as transport:
        message = str(await failure(transport, server.url()))
        assert message == f"the answer of {server.netloc} is not valid HTTP: it does not start with HTTP/"
        netloc = server.netloc
    async with wire() as transport:
        message = str(await failure(transport, f"http://{netloc}/"))
        assert message.startswith(f"no connection to {netloc}: ")


async def test_cancellation_passes_and_closes() -> None:
    """A cancelled fetch is cancelled, not failed, and its stream is closed."""
    reading = asyncio.Event()
    closed = asyncio.Event()

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            reading.set()
            await asyncio.Event().wait()
            yield b""

        async def aclose(self) -> None:
            closed.set()

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Endless()))
    task = asyncio.create_task(fetch(transport))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()


# --- time


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe"],
    ids=["never answers", "stops in the head", "stops in the body"],
)
def test_host_01_host_02_host_46_silence_ends_at_the_deadline(jumping: asyncio.Runner, start: bytes) -> None:
    """A server that stops anywhere costs the deadline and no connection."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(start)
        await client.gone()

    async def main() -> None:
        async with serve(handler) as server, wire() as transport:
            sent = asyncio.Event()

            async def permit() -> None:
                sent.set()

            task = asyncio.ensure_future(failure(transport, server.url(), permit=permit, deadline=60.0))
            await sent.wait()
            for _ in range(9):
                await asyncio.sleep(0)
            await jump(61)
            error = await task
            assert (error.kind, str(error)) == ("timeout", "no complete answer within 60 s")
            await server.quiet()
            assert server.alive == 0

    jumping.run(main())


@pytest.mark.parametrize("guaranteed", [True, False])
def test_waiting_for_the_permit_is_not_on_the_clock(jumping: asyncio.Runner, guaranteed: bool) -> None:
    """An hour in the queue does not use up the deadline, with either kind of transport."""

    async def permit() -> None:
        await jump(3_600)

    class Delegating(httpx.AsyncBaseTransport):
        guarantees = frozenset({"before_send"} if guaranteed else ())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if guaranteed:
                await request.extensions["before_send"]()
            return httpx.Response(200, text="hello")

    async def main() -> None:
        reply = await fetch(Delegating(), permit=permit, deadline=60.0)
        assert reply.body == b"hello"
        assert reply.ended - reply.sent < 60

    jumping.run(main())


def test_connecting_is_on_the_clock(jumping: asyncio.Runner) -> None:
    """A transport that connects for ever ends at the deadline; what it used is not given back."""

    class Slow(httpx.AsyncBaseTransport):
        guarantees = frozenset({"before_send"})

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await jump(40)
            await request.extensions["before_send"]()
            await jump(40)
            raise AssertionError("the deadline of 60 s is over")

    async def main() -> None:
        permits = Permits()
        assert (await failure(Slow(), permit=permits, deadline=60.0)).kind == "timeout"
        assert permits.given == 1

    jumping.run(main())


async def test_host_56_second_send_has_its_own_permit_and_answer() -> None:
    """A stale connection is not seen, and every send the server counts had one permit."""

    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"hello"))
        await client.request()

    permits = Permits()
    async with serve(handler) as server, wire() as transport:
        for _ in range(9):
            assert (await fetch(transport, server.url(), permit=permits)).body == b"hello"
        assert permits.given == len(server.requests)
