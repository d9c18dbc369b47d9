"""The hostile web on loopback: one endpoint for each way a server can misbehave, and good hosts beside them.

Every endpoint has an address of its own (127.0.10.N), so that each is a domain of its own with its own
robots.txt. `Endpoint.kind` is what must become of its page: "ok", a kind of `scraper.errors.KINDS`, or "parked".
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import ssl
import sys
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import brotli
import trustme

from tests.support.raw_server import Client, RawServer, ok, serve

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DEADLINE", "ENDPOINTS", "Endpoint", "GoodSite", "HostileSite", "good_pages", "hostile_web"]

#: Seconds of one request in the crawl over all of it.
DEADLINE = 1.0
#: Octets of a body as sent and decoded there.
MAX_BODY, MAX_DECODED = 1 << 20, 4 << 20
HTML = "Content-Type: text/html"
PAGE = b"<p>hello</p>"

Misbehaviour = Callable[[Client], Awaitable[None]]
NOT_FOUND = ok(b"", status="404 Not Found")


@dataclass(frozen=True)
class Endpoint:
    """One misbehaviour. What it does ends the connection, unless it is `ok`-framed octets."""

    row: int
    name: str
    kind: str
    promise: str
    does: bytes | Misbehaviour
    robots: bytes | Misbehaviour = NOT_FOUND
    scheme: str = "http"
    host: str = ""
    #: What the page's text must be, where one was read.
    text: str | None = None
    #: Takes seconds: left to the long test.
    long: bool = False

    @property
    def id(self) -> str:
        return f"host_{self.row:02}_{self.name}"

    @property
    def path(self) -> str:
        return f"/{self.id}"


ENDPOINTS: list[Endpoint] = []


def row(number: int, name: str, kind: str, promise: str, **more):
    """Register what follows: the octets of an answer, or a function of the connection."""

    def register(does: bytes | Misbehaviour) -> None:
        ENDPOINTS.append(Endpoint(number, name, kind, promise, does, **more))

    return register


def answers(number: int, kind: str, promise: str, text: str | None = None, **named: bytes) -> None:
    for name, octets in named.items():
        row(number, name, kind, promise, text=text)(octets)


async def drip(client: Client, *, start: bytes, drop: bytes) -> None:
    await client.send(start)
    while await client.send(drop):  # noqa: ASYNC110 - slowness is the misbehaviour
        await asyncio.sleep(DEADLINE / 10)


async def flood(client: Client, *, start: bytes, block: bytes) -> None:
    await client.send(start)
    while await client.send(block):
        continue


def dripping(start: bytes, drop: bytes) -> Misbehaviour:
    return lambda client: drip(client, start=start, drop=drop)


def flooding(start: bytes, block: bytes) -> Misbehaviour:
    return lambda client: flood(client, start=start, block=block)


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", HTML, *headers, "", ""]).encode()


def page(body: bytes, *headers: str) -> bytes:
    return ok(body, *(headers or (HTML,)))


CHUNKED = head("Transfer-Encoding: chunked")
ENDLESS = head()

row(1, "headers_drip", "timeout", "Header lines without end are left at the deadline.")(
    dripping(b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n")
)
row(2, "body_drip", "timeout", "A body that comes byte by byte is left at the deadline.")(
    dripping(head("Content-Length: 100000"), b"x")
)
row(3, "endless_body", "body-too-large", "A body without end is cut at the limit.")(
    flooding(CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n")
)
row(4, "endless_interim", "protocol", "Interim answers without end are left after eight.")(
    flooding(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)
)
answers(5, "connection", "A server that closes at once is a broken connection.", closes_at_once=b"")
answers(
    6,
    "incomplete",
    "A body shorter than announced is never ok.",
    short_body=head("Content-Length: 99") + PAGE,
)
answers(
    7,
    "ok",
    "Bytes behind the announced body are ignored.",
    text="hello",
    extra_bytes=page(PAGE) + b"<p>more</p>",
)
answers(
    8,
    "protocol",
    "A chunk size that is no number is an error.",
    chunk_size=CHUNKED + b"ZZ\r\nhello\r\n0\r\n\r\n",
)
answers(
    8,
    "incomplete",
    "A chunked body without its last chunk is cut off.",
    no_last_chunk=CHUNKED + b"5\r\nhello\r\n",
)
answers(
    9, "ok", "Of a length together with chunks, the chunks count.", text="hello",
    length_and_chunks=head(HTML, "Content-Length: 3", "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE),
)  # fmt: skip
answers(
    10, "protocol", "Two lengths, or one below zero, are refused.",
    two_lengths=ok(b"hello", "Content-Length: 6"), negative_length=head("Content-Length: -1") + PAGE,
)  # fmt: skip
answers(11, "ok", "A header line without a colon is left out.", no_colon=ok(PAGE, HTML, "nonsense"))
answers(
    12, "ok", "Folded headers and bare line feeds are read.", text="hello",
    obs_fold=ok(PAGE, HTML, "X-Long: a\r\n  b"), bare_lf=ok(PAGE, HTML).replace(b"\r\n", b"\n"),
)  # fmt: skip
answers(13, "protocol", "A NUL in a header is refused.", nul_in_header=ok(PAGE, HTML, "X: a\0b"))
answers(
    14, "headers-too-large", "Headers beyond the limits are cut.",
    long_header=ok(PAGE, HTML, "X: " + "a" * 200_000), many_headers=ok(PAGE, HTML, *["X: a"] * 20_000),
)  # fmt: skip
answers(
    15, "ok", "HTTP/1.0 and a missing reason are read.", text="hello",
    http_1_0=b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE,
    no_reason=ok(PAGE, HTML).replace(b"200 OK", b"200"),
)  # fmt: skip
answers(15, "http", "A status of nobody's is a status.", status_999=ok(PAGE, HTML, status="999 Denied"))
answers(16, "protocol", "An answer without a head is no HTTP.", http_0_9=b"<html>naked</html>")
answers(17, "ok", "The body of a 204 is ignored.", body_of_204=ok(PAGE, HTML, status="204 No Content"))
answers(17, "http", "The body of a 304 is ignored.", body_of_304=ok(PAGE, HTML, status="304 Not Modified"))

PACKED = gzip.compress(PAGE * 100)
ZIPPED = (HTML, "Content-Encoding: gzip")
answers(18, "incomplete", "A gzip that ends early is never ok.", gzip_truncated=ok(PACKED[:-12], *ZIPPED))
answers(
    19, "decode", "What is no valid gzip says so.",
    gzip_bad_checksum=ok(PACKED[:-8] + b"12345678", *ZIPPED), not_gzip=ok(PAGE, *ZIPPED),
)  # fmt: skip
answers(
    20, "ok", "Every member of a gzip is read.", text="hello world",
    gzip_two_members=ok(gzip.compress(b"<p>hello ") + gzip.compress(b"world</p>"), *ZIPPED),
)  # fmt: skip
answers(
    21, "ok", "Junk behind a gzip, and a coding on nothing, are ignored.",
    gzip_and_junk=ok(PACKED + b"<!-- junk -->", *ZIPPED), empty_gzip=ok(b"", *ZIPPED),
)  # fmt: skip
answers(
    22, "ok", "A coding nobody knows is kept, and said.", text="hello",
    unknown_coding=ok(PAGE, HTML, "Content-Encoding: foo"),
)  # fmt: skip
answers(
    23, "decode", "More than five layers of compression are refused.",
    six_layers=ok(PACKED, HTML, "Content-Encoding: " + ", ".join(["gzip"] * 6)),
)  # fmt: skip

ZEROS = bytes(1 << 20)


def deflated(wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(packer.compress(ZEROS) for _ in range(128)) + packer.flush()


def brotlied() -> bytes:
    packer = brotli.Compressor(quality=4)
    return b"".join(packer.process(ZEROS) for _ in range(128)) + packer.finish()


def zstded() -> bytes:
    packer = zstd.ZstdCompressor()
    return b"".join(packer.compress(ZEROS) for _ in range(128)) + packer.flush()


for _coding, _make in {
    "gzip": lambda: deflated(31),
    "deflate": lambda: deflated(15),
    "br": brotlied,
    "zstd": zstded,
}.items():
    answers(
        24, "body-too-large", "A bomb stops at the limit of the decoded size.",
        **{f"bomb_{_coding}": ok(_make(), HTML, f"Content-Encoding: {_coding}")},
    )  # fmt: skip


def redirect(to: str, body: bytes = b"") -> bytes:
    return ok(body, f"Location: {to}", status="302 Found")


row(25, "redirect_to_itself", "too-many-redirects", "A redirect to itself ends.")(
    redirect("/host_25_redirect_to_itself")
)


async def _ring(client: Client) -> None:
    await client.send(
        redirect("/host_25_redirect_ring?back" if "?" not in client.path else "/host_25_redirect_ring")
    )


async def _chain(client: Client) -> None:
    await client.send(redirect(f"{client.path}x"))


row(25, "redirect_ring", "too-many-redirects", "Two pages that redirect to each other end.")(_ring)
row(25, "redirect_chain", "too-many-redirects", "A chain of redirects ends at the limit of hops.")(_chain)
answers(26, "bad-redirect", "A redirect to what is no URL has its kind.", to_no_url=redirect("http://["))
answers(26, "bad-redirect", "A redirect to a file is refused.", to_a_file=redirect("file:///etc/passwd"))


async def _large_redirect(client: Client) -> None:
    if "?" in client.path:
        await client.send(page(PAGE))
        return
    await flood(
        client,
        start=head("Content-Length: 200000000", "Location: ?", status="302 Found").replace(b"?", b"?to"),
        block=ZEROS[:65_536],
    )


row(27, "large_redirect", "ok", "The body of a redirect is not read.", text="hello")(_large_redirect)


async def _odd_location(client: Client) -> None:
    odd = head("Content-Length: 0", "Location: /é x\\y", status="302 Found")
    await client.send(page(PAGE) if "%C3%A9%20x/y" in client.path else odd)


row(
    29,
    "odd_location",
    "ok",
    "A location of raw UTF-8, blanks and backslashes is joined as browsers do.",
    text="hello",
)(_odd_location)
answers(
    30,
    "ok",
    "Nine hundred cookies do no harm.",
    text="hello",
    cookies=ok(PAGE, HTML, *[f"Set-Cookie: n{i}={i}" for i in range(900)]),
)
answers(
    30,
    "headers-too-large",
    "A cookie of a megabyte is cut.",
    large_cookie=ok(PAGE, HTML, "Set-Cookie: n=" + "x" * (1 << 20)),
)
answers(
    31, "ok", "Ten thousand links on a page are taken or left one by one.",
    many_links=page(b"".join(b'<a href="http://elsewhere.invalid/%d">x</a>' % i for i in range(10_000))),
)  # fmt: skip


async def _calendar(client: Client) -> None:
    day = int(client.path.partition("?")[2] or 0)
    await client.send(page(b'<p>day %d</p><a href="?%d">tomorrow</a>' % (day, day + 1)))


_numbers = itertools.count()


async def _sessions(client: Client) -> None:
    number = next(_numbers)
    await client.send(
        page(f'<p>same</p><a href="/host_33_sessions;jsessionid={number}?PHPSESSID={number}">x</a>'.encode())
    )


async def _below_itself(client: Client) -> None:
    await client.send(
        page(f'<p>{client.path}</p><a href="{client.path}/a">x</a><a href="/{"x" * 70_000}">y</a>'.encode())
    )


async def _soft_404(client: Client) -> None:
    links = b"".join(b'<a href="/host_35_soft_404/%d">x</a>' % next(_numbers) for _ in range(10))
    await client.send(page(b"<p>no %s</p>" % client.path.encode() + links))


row(32, "calendar", "ok", "A calendar without end ends at the budget of its domain.")(_calendar)
row(33, "sessions", "ok", "Session parameters make no new pages.")(_sessions)
row(34, "below_itself", "ok", "Links that lead below themselves end.")(_below_itself)
row(35, "soft_404", "ok", "A site that has every page ends at the budget of its domain.")(_soft_404)

for _label in (
    "nonsense",
    "hex",
    "zlib",
    "rot13",
    "idna",
    "punycode",
    "utf-7",
    "unicode_escape",
    "undefined",
    "utf-16",
):
    answers(
        36, "ok", "A charset of nobody's is none.", text=None if _label == "utf-16" else "café",
        **{f"charset_{_label.replace('-', '_')}": ok("<p>café</p>".encode(), f"Content-Type: text/html; charset={_label}")},
    )  # fmt: skip
answers(
    37, "ok", "A byte order mark beats the header, the header the meta element.", text="café",
    mark_wins=ok("\ufeff<meta charset=shift_jis><p>café</p>".encode(), "Content-Type: text/html; charset=euc-jp"),
    header_wins=ok("<meta charset=shift_jis><p>café</p>".encode(), "Content-Type: text/html; charset=utf-8"),
)  # fmt: skip
answers(
    38,
    "ok",
    "NUL and invalid bytes become U+FFFD.",
    text="a\ufffdb\ufffd",
    invalid_bytes=page(b"<p>a\xc3b\xff</p>", "Content-Type: text/html; charset=utf-8"),
)
answers(
    39, "ok", "Megabytes on one line are a page.", single_line=page(b"<p>" + b"word " * 150_000 + b"</p>")
)
answers(
    40, "parse", "A page that would keep the parser busy is refused.",
    deep=page(b"<div>" * 100_000), odd_names=page(b"<x><y><z>" * 4_000),
)  # fmt: skip
row(40, "many_attributes", "parse", "A tag with too many attributes is refused.", long=True)(
    page(b"<p " + b" ".join(b"a%d" % i for i in range(90_000)) + b">")
)
row(40, "formatting", "parse", "Formatting that multiplies is refused.", long=True)(
    page(b"".join(b"<font a=%d><p>" % i for i in range(3_000)))
)
answers(40, "ok", "Three thousand nested tables are read.", tables=page(b"<table>" * 3_000))
answers(
    41,
    "ok",
    "Binary called HTML, and no type at all, are read.",
    binary_as_html=page(bytes(range(256)) * 40),
    no_type=ok(PAGE, "X-Type: none"),
)
answers(41, "type", "A type nobody accepts is skipped.", image=ok(b"\x89PNG", "Content-Type: image/png"))


def refusal(status: str, after: str) -> bytes:
    return ok(b"", f"Retry-After: {after}", status=status)


answers(42, "parked", "A long Retry-After parks the domain.", retry_after=refusal("503 Busy", "5"))
answers(43, "parked", "Twenty nines are a long wait.", twenty_nines=refusal("429 Slow", "9" * 20))
for _name, _after in {
    "negative": "-5",
    "fraction": "1.5",
    "underscore": "1_0",
    "garbage": "soon",
    "past": "Sun, 06 Nov 1994 08:49:37 GMT",
}.items():
    answers(
        43,
        "http",
        "A Retry-After that is none is ignored.",
        **{f"retry_after_{_name}": refusal("429 Slow", _after)},
    )
answers(44, "http", "429 for ever ends.", always_429=ok(b"", status="429 Slow"))


async def _reset(client: Client) -> None:
    client.reset()


async def _reset_in_body(client: Client) -> None:
    await client.send(head("Content-Length: 100") + PAGE)
    client.reset()


row(45, "reset", "connection", "A reset is a broken connection.")(_reset)
row(45, "reset_in_body", "connection", "A reset in the body is a broken connection.")(_reset_in_body)
row(46, "never_answers", "timeout", "A server that never answers is left at the deadline.")(Client.gone)
row(47, "no_such_name", "dns", "A name without an address has its kind.", host="nowhere.invalid")(b"")


def shaking_hands(context: ssl.SSLContext) -> Misbehaviour:
    """A server that speaks TLS as `context` allows, and answers with a page where that succeeds."""

    async def does(client: Client) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        shaken = False
        while octets := await client.some():
            incoming.write(octets)
            try:
                if not shaken:
                    server.do_handshake()
                    shaken = True
                if server.read(65_536):
                    server.write(page(PAGE))
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:  # the alert about it is among what goes out
                await client.send(outgoing.read())
                return
            await client.send(outgoing.read())

    return does


def certified(*, old: bool) -> ssl.SSLContext:
    """Of an authority that nobody knows; an `old` one speaks TLS 1.0 and nothing newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("a.test").configure_cert(context)
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


row(48, "tls_1_0", "tls", "A server that speaks TLS 1.0 and nothing newer has its kind.", scheme="https")(
    shaking_hands(certified(old=True))
)
row(
    48, "self_signed", "tls-untrusted", "A certificate of an unknown authority has its kind.", scheme="https"
)(shaking_hands(certified(old=False)))
row(48, "plain_on_tls", "tls", "Plain HTTP where TLS is expected has its kind.", scheme="https")(
    b"HTTP/1.1 400 Bad\r\n\r\n"
)


def robots(number: int, kind: str, promise: str, **named: bytes | Misbehaviour) -> None:
    for name, answer in named.items():
        row(number, name, kind, promise, robots=answer, text="hello" if kind == "ok" else None)(page(PAGE))


TEXT = "Content-Type: text/plain"
NOTHING_ALLOWED = b"User-agent: *\nDisallow: /\n"
robots(50, "robots", "robots.txt is obeyed.", robots_200=ok(NOTHING_ALLOWED, TEXT))
robots(
    50, "ok", "A robots.txt that is not there, or forbidden, forbids nothing.",
    robots_404=ok(NOTHING_ALLOWED, status="404 No"), robots_403=ok(b"", status="403 No"), robots_401=ok(b"", status="401 No"),
)  # fmt: skip
robots(
    50,
    "robots-unreachable",
    "A robots.txt that answers 429 forbids all for now.",
    robots_429=ok(b"", status="429 Slow"),
)
robots(
    51, "robots-unreachable", "A robots.txt that cannot be read forbids all for now.",
    robots_500=ok(b"", status="500 Broken"), robots_reset=_reset, robots_never=Client.gone,
)  # fmt: skip
robots(
    52, "ok", "Redirects of robots.txt without end make it unavailable.", robots_loop=redirect("/robots.txt")
)
robots(
    53, "ok", "However robots.txt is written, reading it ends.",
    robots_endless=flooding(ok(b"", TEXT).replace(b"Content-Length: 0\r\n", b""), b"# nothing here\n" * 4_000),
    robots_bomb=ok(deflated(31), TEXT, "Content-Encoding: gzip"),
    robots_html=ok(b"<html><body>not here</body></html>", HTML),
    robots_megabytes=ok(b"Disallow: /x\n" * 70_000, TEXT),
)  # fmt: skip
robots(
    53, "robots", "A byte order mark, UTF-16, NULs or CR alone hide no rule.",
    robots_nul=ok(b"\0\0User-agent\0: *\nDisallow\0: /\n", TEXT),
    robots_utf_16=ok(NOTHING_ALLOWED.decode().encode("utf-16"), TEXT),
    robots_bom=ok(b"\xef\xbb\xbf" + NOTHING_ALLOWED, TEXT), robots_cr=ok(NOTHING_ALLOWED.replace(b"\n", b"\r"), TEXT),
)  # fmt: skip
for _name, _delay in {"negative": "-1", "nan": "NaN", "text": "often"}.items():
    robots(
        55,
        "ok",
        "A Crawl-delay that is no duration is none.",
        **{f"delay_{_name}": ok(f"User-agent: *\nCrawl-delay: {_delay}\n".encode(), TEXT)},
    )
robots(
    55, "robots-unreachable", "A Crawl-delay beyond the limit parks the domain.",
    delay_a_day=ok(b"User-agent: *\nCrawl-delay: 86400\n", TEXT),
    delay_infinite=ok(b"User-agent: *\nCrawl-delay: 1e999\n", TEXT),
)  # fmt: skip

row(56, "closes_idle", "ok", "A connection that is closed while idle is not noticed.", text="hello")(
    page(PAGE)
)


async def _half_open(client: Client) -> None:
    await client.send(page(PAGE))
    await client.gone()


async def _slices(client: Client) -> None:
    body = b"<p>" + b"x" * 20_000 + b"</p>"
    await client.send(head(f"Content-Length: {len(body)}"))
    for start in range(0, len(body), 100):
        await client.send(body[start : start + 100])


row(58, "slow_close", "ok", "A body that is complete does not wait for the close.", text="hello")(_half_open)
row(59, "slices", "ok", "A body in slices of a hundred bytes is read.")(_slices)
answers(
    60, "ok", "Links nobody can follow are counted; the page and its good ones are kept.", text="hello",
    broken_links=page(
        PAGE + b'<base href="javascript:void(0)"><meta http-equiv=refresh content="0;url=http://["><link rel=canonical href="http://[">'
        + b'<a href="http://[">x</a>' * 1_000 + b'<a href="javascript:alert(1)">y</a><a href="http://elsewhere.invalid/">z</a>'
    ),
)  # fmt: skip


class HostileSite:
    """The endpoints as a server: `url(endpoint)`, and who was asked what."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = {f"127.0.10.{number}": endpoint for number, endpoint in enumerate(endpoints, 1)}
        self._server: RawServer | None = None

    @property
    def server(self) -> RawServer:
        assert self._server is not None
        return self._server

    @property
    def urls(self) -> dict[str, Endpoint]:
        """The start URL of every endpoint."""
        return {
            self.server.url(endpoint.path, endpoint.host or address, endpoint.scheme): endpoint
            for address, endpoint in self.endpoints.items()
        }

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[HostileSite]:
        async with serve(self._misbehave, hosts=list(self.endpoints)) as self._server:
            yield self

    async def _misbehave(self, client: Client) -> None:
        endpoint = self.endpoints[client.host]
        if endpoint.scheme == "https":
            await (endpoint.does(client) if callable(endpoint.does) else client.send(endpoint.does))
            return
        while await client.request():
            does = endpoint.robots if client.path == "/robots.txt" else endpoint.does
            if callable(does):
                await does(client)
                return
            await client.send(does)
            if client.path != "/robots.txt" or endpoint.row == 56:
                return


def good_pages(host: str, number: int, of: int) -> bytes:
    """Page `number` of a good host: a title, its item, the next page."""
    following = f'<a href="/{number + 1}">next</a>' if number + 1 < of else ""
    return page(f"<h1>{host} {number}</h1><p>{'words and more words ' * 40}</p>{following}".encode())


class GoodSite:
    """`hosts` hosts of `pages` pages each, at 127.0.11.N."""

    def __init__(self, hosts: int, pages: int) -> None:
        self.hosts, self.pages = [f"127.0.11.{number}" for number in range(1, hosts + 1)], pages
        self.starts: list[str] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[GoodSite]:
        async with serve(self._behave, hosts=self.hosts) as server:
            self.starts = [server.url("/0", host) for host in self.hosts]
            yield self

    async def _behave(self, client: Client) -> None:
        while await client.request():
            number = client.path[1:]
            known = number.isdigit() and int(number) < self.pages
            answer = good_pages(client.host, int(number), self.pages) if known else NOT_FOUND
            if not await client.send(answer):
                return


@contextlib.asynccontextmanager
async def hostile_web(
    endpoints: list[Endpoint], hosts: int, pages: int
) -> AsyncIterator[tuple[HostileSite, GoodSite]]:
    """Both at once."""
    async with HostileSite(endpoints).serving() as hostile, GoodSite(hosts, pages).serving() as good:
        yield hostile, good
