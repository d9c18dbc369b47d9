"""One connection over a transport that is not there: any bytes, cut anywhere, always with the same end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scraper.net.wire.errors import WireError
from scraper.net.wire.protocol import BUFFER, Connection


class FakeTransport(asyncio.Transport):
    """Takes what is written, and delivers what a test gives it while nobody holds it back."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_aborted = False
        self.is_reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


def connected() -> tuple[Connection, FakeTransport]:
    connection, transport = Connection("a.test:80", "key", lambda _: None), FakeTransport()
    connection.connection_made(transport)
    return connection, transport


Result = tuple[int, list[tuple[bytes, bytes]], bytes, int] | tuple[str, str]


async def outcome(pieces: list[bytes], *, head_only: bool = False, ends: bool = True) -> Result:
    """What a request gets whose answer arrives in these pieces: status, headers, body, lines dropped, or the error."""
    connection, transport = connected()
    connection.begin(head_only)
    await connection.send(b"GET / HTTP/1.1\r\n\r\n", b"")
    reading = asyncio.ensure_future(everything(connection))
    for piece in pieces:
        while not transport.is_reading and not transport.is_aborted:  # noqa: ASYNC110 - the reader runs in this loop
            await asyncio.sleep(0)
        if transport.is_aborted:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    while not (reading.done() or transport.is_reading or transport.is_aborted):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    if ends:
        if not transport.is_aborted:
            connection.eof_received()
        connection.connection_lost(None)
    async with asyncio.timeout(30):
        return await reading


async def everything(connection: Connection) -> Result:
    try:
        answer = await connection.head()
        body = bytearray()
        while chunk := await connection.read():
            assert len(chunk) <= BUFFER
            body += chunk
    except WireError as error:
        return type(error).__name__, error.kind
    fields = [(name, value) for name, _, value in answer.fields]
    return answer.status, fields, bytes(body), answer.dropped


def result(pieces: list[bytes], **options: Any) -> Result:
    return asyncio.run(outcome(pieces, **options))


LINES = st.sampled_from(
    [
        b"Content-Length: 5", b"Content-Length: 6", b"Content-Length: 0", b"Content-Length : 5", b"Content-Length: 5, 5",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
        b"Connection: close", b"Keep-Alive: timeout=5", b"X-Foo : 1", b"PHP Warning: x in y", b"no colon", b": empty",
        b'"quoted": 1', b" folded", b"\tfolded", b"X: \xe9", b"X: a\rb", b"X: a\0b", b"Upgrade: x", b"",
    ]
)  # fmt: skip
STARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 No", b"HTTP/1.1 103 Early",
        b"HTTP/1.1 101 Switch", b"HTTP/1.1 999", b"HTTP/1.1 000 X", b"HTTP/2 200", b"ICY 200 OK", b"<html>", b"",
    ]
)  # fmt: skip
BODIES = st.sampled_from(
    [
        b"hello", b"hello and more", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"5\r\nhe",
        b"ZZ\r\n", b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"", b"x" * 70_000,
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One or several messages, right and wrong."""
    made = b""
    for _ in range(draw(st.integers(1, 3))):
        end = draw(ENDS)
        made += end.join([draw(STARTS), *draw(st.lists(LINES, max_size=5)), b"", b""]) + draw(BODIES)
    return made


@st.composite
def cut(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(octets)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True) if a < b]


@settings(max_examples=300, deadline=None)
@example(
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\npoison",
    ],
    False,
)
@given(cut(st.one_of(answers(), st.binary(max_size=200))), st.booleans())
def test_any_bytes_in_any_cuts_end_as_they_do_in_one_piece(pieces: list[bytes], head_only: bool) -> None:
    """An answer or an error of the tree, never a hang, and it does not depend on how the bytes were cut."""
    whole = b"".join(pieces)
    assert result(pieces, head_only=head_only) == result([whole] if whole else [], head_only=head_only)


@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked"])
def test_what_follows_a_chunked_answer_is_no_part_of_it(coding: str) -> None:
    """Neither body nor status of a second message that comes in the same piece; the connection serves no one else."""
    first = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()
    second = b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\npoison"
    assert result([first + second])[:3:2] == (200, b"hello")


def test_one_byte_at_a_time_is_the_same_answer() -> None:
    """A head of 40 KB and a chunked body are read from single bytes."""
    answer = (
        b"HTTP/1.1 200 OK\r\nX: "
        + b"a" * 40_000
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    single = [answer[i : i + 1] for i in range(len(answer))]
    assert result(single) == result([answer])
    assert result(single)[2] == b"hello"


@settings(max_examples=100, deadline=None)
@given(answers(), answers())
def test_no_answer_ever_has_the_body_of_another(first: bytes, second: bytes) -> None:
    """Where a connection may be used again, what follows is read as if it were the first on a new one."""

    async def main() -> None:
        connection, transport = connected()
        connection.begin(False)
        connection.data_received(first)
        if not connection.is_reusable():
            return
        await everything(connection)
        connection.rest()
        connection.begin(False)
        connection.data_received(second)
        if not transport.is_aborted:
            connection.eof_received()
        connection.connection_lost(None)
        assert await everything(connection) == await outcome([second])

    asyncio.run(main())


def test_a_byte_on_an_idle_connection_closes_it() -> None:
    """What was not asked for is never taken for the next answer."""

    async def main() -> None:
        connection, transport = connected()
        connection.begin(False)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert connection.is_reusable()
        connection.rest()
        connection.data_received(b"H")
        assert transport.is_aborted
        assert not connection.is_usable()

    asyncio.run(main())


async def test_reading_pauses_while_its_reader_is_slow() -> None:
    """A body nobody takes is held to 64 KiB and one read; taking it lets the sender go on."""
    connection, transport = connected()
    connection.begin(False)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    sent = 0
    while transport.is_reading:
        connection.data_received(b"x" * 10_000)
        sent += 10_000
    assert BUFFER <= sent < 2 * BUFFER
    taken = len(await connection.read())
    assert transport.is_reading
    assert taken <= BUFFER


async def test_an_upload_waits_for_its_receiver_and_ends_with_an_early_answer() -> None:
    """Nothing is written beyond what the peer takes, and no more once it has refused."""
    connection, transport = connected()
    connection.begin(False)
    transport.write = lambda data: (transport.written.extend(data), connection.pause_writing())  # type: ignore[method-assign,assignment]  # a peer that is full at once
    sending = asyncio.ensure_future(connection.send(b"head", b"x" * 1_000_000))
    for _ in range(9):
        await asyncio.sleep(0)
    assert len(transport.written) <= 4 + BUFFER
    connection.resume_writing()
    for _ in range(9):
        await asyncio.sleep(0)
    assert len(transport.written) <= 4 + 2 * BUFFER
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    await sending
    assert (await connection.head()).status == 413
    assert await connection.read() == b"no"
    assert not connection.is_reusable()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("lines", "dropped"),
    [
        (b"X-Foo : 1\r\nContent-Length: 5\r\n\r\nhello", 1),
        (b"PHP Warning: foo in bar\r\nContent-Length: 5\r\n\r\nhello", 1),
        (b'"X": 1\r\nContent-Length: 5\r\n\r\nhello', 1),
        (b": 1\r\nContent-Length: 5\r\n\r\nhello", 1),
        (b"nonsense\r\nContent-Length: 5\r\n\r\nhello", 1),
        (b"X: a\x01b\r\nContent-Length: 5\r\n\r\nhello", 1),
        (b"X: a\r\n b\r\n\tc\r\nContent-Length: 5\r\n\r\nhello", 0),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 0),
        (b"Content-Length: 5, 5\r\n\r\nhello", 0),
        (b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 0),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1),
    ],
)
async def test_w13_a_bad_header_line_is_left_out_and_counted(lines: bytes, dropped: int) -> None:
    """The page is read without the line; the count says that there was one."""
    found = await outcome([OK + lines])
    assert (found[0], found[2:]) == (200, (b"hello", dropped))


HELLO = b"Content-Length: 5\r\n\r\nhello"
CHUNKS = b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"http/1.1 200 OK\r\n" + HELLO,
        b"HTTP/1.1  200 OK\r\n" + HELLO,
        b"HTTP/1.1\t200\tOK\r\n" + HELLO,
        b"HTTP/1.1 200OK\r\n" + HELLO,
        b"HTTP/1 200 OK\r\n" + HELLO,
        b"HTTP/2 200\r\n" + HELLO,
        b"HTTP/1.1 200 OK\r\r\nContent-Length: 5\r\r\n\r\r\nhello",
        OK + b"Content-Length : 5\r\n\r\nhello",
        OK + b"Transfer-Encoding\t: chunked" + CHUNKS,
        OK + b"Transfer-Encoding: chunked," + CHUNKS,
        OK + b"Transfer-Encoding: chunked, identity" + CHUNKS,
        OK + b'Transfer-Encoding: "Chunked"' + CHUNKS,
        OK + b"Transfer-Encoding: chunked;q=1" + CHUNKS,
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" + CHUNKS,
        OK + b"Transfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0  \r\n\r\n",
    ],
)
async def test_w13_what_browsers_and_curl_read_is_read(answer: bytes) -> None:
    """Odd status lines, blanks before the colon of a field that says where the body ends, chunk sizes with blanks."""
    found = await outcome([answer], ends=False)
    assert (found[0], found[2:]) == (200, (b"hello", 0))


async def test_w13_a_redirect_or_a_coding_with_a_blank_before_its_colon_counts() -> None:
    """Without `Location` the page is lost, without `Content-Encoding` it is noise."""
    lines = b"Location : /x\r\nContent-Encoding : gzip\r\nX : 1\r\nContent-Length: 0\r\n\r\n"
    found = await outcome([b"HTTP/1.1 302 Found\r\n" + lines])
    kept = [(b"Location", b"/x"), (b"Content-Encoding", b"gzip"), (b"Content-Length", b"0")]
    assert found == (302, kept, b"", 1)


async def test_w13_folded_lines_are_one_value() -> None:
    """A value over several lines is read as one (RFC 9112 section 5.2)."""
    found = await outcome([OK + b"X: a\r\n  b\r\n\tc \r\nContent-Length: 0\r\n\r\n"])
    assert found[1] == [(b"X", b"a b c"), (b"Content-Length", b"0")]


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"bad\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5, 6\r\n\r\nhello",
        OK + b"Content-Length: -1\r\n\r\nhello",
        OK + b"Content-Length: 1_0\r\n\r\nhellohello",
        OK + b"Content-Length: 5\x01\r\n\r\nhello",
        OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/3 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 18446744073709551615\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    ],
)
async def test_w13_what_must_not_be_guessed_is_refused(answer: bytes) -> None:
    """NUL, lengths that differ and lengths that are none are errors."""
    assert await outcome([answer]) == ("BadAnswer", "protocol")


async def test_a_second_answer_behind_a_chunked_one_is_no_part_of_it() -> None:
    """Neither its status nor its fields nor its body, and the connection serves no further request."""
    first = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for length in (
        b"Content-Length: 6\r\n\r\npoison",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
    ):
        second = b"HTTP/1.1 404 No\r\nX: %b\r\n" % (b"a" * 20_000) + length
        found = await outcome([first + second])
        assert found == (200, [(b"Transfer-Encoding", b"chunked")], b"hello", 0)
        connection, _ = connected()
        connection.begin(False)
        connection.data_received(first + second)
        assert not connection.is_reusable()
    found = await outcome([OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + b"a" * 100_000])
    assert found == (200, [(b"Transfer-Encoding", b"chunked")], b"", 0)


async def test_trailers_are_dropped_and_bounded() -> None:
    """A field behind the body is not a header, and trailers for ever are cut."""
    start = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    found = await outcome([start + b"X-Late: 1\r\n\r\n"])
    assert found == (200, [(b"Transfer-Encoding", b"chunked")], b"hello", 0)
    for trailers in ([b"X: " + b"a" * 1_000 + b"\r\n"] * 40, [b"a" * 1_000] * 70):
        assert await outcome([start, *trailers]) == ("HeadersTooLarge", "headers-too-large")


async def test_an_answer_that_is_not_http_is_refused_at_its_first_bytes() -> None:
    """A server that speaks something else, and then waits, costs no time."""
    assert await outcome([b"220 ftp ready\r\n"], ends=False) == ("BadAnswer", "protocol")


@pytest.mark.parametrize(
    ("field", "seconds"), [(b"Keep-Alive: timeout=7, max=9", 7), (b"Keep-Alive: max=9", -1), (b"X: y", -1)]
)
async def test_the_servers_own_time_limit_is_known(field: bytes, seconds: int) -> None:
    """`Keep-Alive: timeout=n` says how long an idle connection may be used."""
    connection, _ = connected()
    connection.begin(False)
    connection.data_received(OK + field + b"\r\nContent-Length: 0\r\n\r\n")
    assert connection.rest() == seconds
