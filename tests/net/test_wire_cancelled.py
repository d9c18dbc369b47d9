"""A request may be cancelled at any of its awaits: no socket stays open, no connection is lost to the pool."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from scraper.core.models import Proxy
from scraper.net.wire.resolver import Resolver
from scraper.net.wire.wire import Wire
from tests.support.certificates import tls, trusting
from tests.support.hosts import Names
from tests.support.proxy_server import http_proxy, socks_proxy
from tests.support.raw_server import Client, answering, ok, serve
from tests.support.wire_client import get, wire


class CancelledAt:
    """Awaits a coroutine, and cancels it at its n-th await; `count` is the number of those it came to."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], number: int) -> None:
        self._coroutine = coroutine
        self._number = number
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as ended:
                return ended.value
            self.count += 1
            if self.count == self._number:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                sent = yield waits_for
            except BaseException as error:  # what the loop throws in is the coroutine's
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


Opened = Callable[[], Awaitable[None]]


@asynccontextmanager
async def plain() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    async with serve(answering(ok(b"hi"))) as server, wire() as transport:
        yield transport, server.url(), {}, server.quiet


@asynccontextmanager
async def two_addresses() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    names = Resolver(getaddrinfo=lambda *_, **__: [(2, 1, 6, "", (f"127.0.0.{n}", 0)) for n in (9, 1)])
    async with serve(answering(ok(b"hi"))) as server, wire(resolver=names) as transport:
        await names.resolve("two.test")  # the thread's way is the resolver's business
        yield transport, server.url(host="two.test"), {}, server.quiet
        await names.close()


@asynccontextmanager
async def over_tls() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    async with serve(answering(ok(b"hi")), tls()) as server, wire(verify=trusting()) as transport:
        yield transport, server.url(), {}, server.quiet


@asynccontextmanager
async def through_a_tunnel() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    inside = wire(verify=trusting(), resolver=Names())
    async with (
        serve(http_proxy()) as proxy,
        serve(answering(ok(b"hi")), tls("a.test")) as server,
        inside as transport,
    ):
        way = {"proxy": Proxy("http", "127.0.0.1", proxy.port)}

        async def quiet() -> None:
            await server.quiet()
            await proxy.quiet()

        yield transport, server.url(host="a.test"), way, quiet


@asynccontextmanager
async def through_tls_in_tls() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    inside = wire(verify=trusting(), resolver=Names())
    async with (
        serve(http_proxy(), tls()) as proxy,
        serve(answering(ok(b"hi")), tls("a.test")) as server,
        inside as transport,
    ):
        way = {"proxy": Proxy("https", "127.0.0.1", proxy.port)}

        async def quiet() -> None:
            await server.quiet()
            await proxy.quiet()

        yield transport, server.url(host="a.test"), way, quiet


@asynccontextmanager
async def through_socks() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    inside = wire(verify=trusting(), resolver=Names())
    async with (
        serve(socks_proxy([])) as proxy,
        serve(answering(ok(b"hi")), tls("a.test")) as server,
        inside as transport,
    ):
        way = {"proxy": Proxy("socks5", "127.0.0.1", proxy.port)}

        async def quiet() -> None:
            await server.quiet()
            await proxy.quiet()

        yield transport, server.url(host="a.test"), way, quiet


@asynccontextmanager
async def after_a_stale_one() -> AsyncIterator[tuple[Wire, str, dict[str, Any], Opened]]:
    async def handler(client: Client) -> None:
        await client.request()
        await client.send(ok(b"hi"))
        if client.number % 2:
            await client.request()  # and then nothing: the connection ends
        else:
            await client.gone()

    async with serve(handler) as server, wire() as transport:
        await get(transport, server.url())
        yield transport, server.url(), {}, server.quiet


WAYS = [
    plain,
    two_addresses,
    over_tls,
    through_a_tunnel,
    through_tls_in_tls,
    through_socks,
    after_a_stale_one,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_cancelled_at_each_of_its_awaits_a_request_leaves_nothing(way: Any) -> None:
    """For every n: cancelled at its n-th await, no descriptor is left and every open connection is idle."""
    number, finished = 0, False
    while not finished:
        number += 1
        before = descriptors()
        async with way() as (transport, url, extensions, quiet):

            async def nothing() -> None:
                await asyncio.sleep(0)

            extensions |= {"before_send": nothing, "before_connect": nothing}
            request = CancelledAt(get(transport, url, extensions=extensions), number)

            async def one(request: CancelledAt = request) -> Any:
                return await request

            try:
                assert await asyncio.ensure_future(one()) == (200, b"hi")
                finished = request.count < number
            except asyncio.CancelledError:
                assert request.count >= number
            for _ in range(4):  # cancelled attempts and aborted transports close in the loop's next turns
                await asyncio.sleep(0)
            assert transport._pool.opened == len(transport._pool)
            await transport.aclose()
            await quiet()
        for _ in range(4):
            await asyncio.sleep(0)
        assert descriptors() == before
        assert number < 200
    assert number > 4


async def test_sec_14_a_thousand_cancellations_never_mix_answers() -> None:
    """After 1,000 requests cancelled at random awaits every body still belongs to its URL, and nothing leaks."""

    async def handler(client: Client) -> None:
        while request := await client.request():
            body = request.split()[1] * 3_000
            if not await client.send(ok(body)):
                return

    chance = random.Random(14)
    async with serve(handler) as server, wire() as transport:

        async def one(number: int, at: int) -> int:
            path = f"/{number}"
            request = CancelledAt(get(transport, server.url(path)), at)

            async def run() -> Any:
                return await request

            try:
                assert await asyncio.ensure_future(run()) == (200, path.encode() * 3_000)
            except asyncio.CancelledError:
                return 1
            return 0

        cancelled = 0
        start = 0
        while cancelled < 1_000:
            numbers = range(start, start + 20)
            cancelled += sum(await asyncio.gather(*(one(n, chance.randint(1, 4)) for n in numbers)))
            start += 20
            assert start < 20_000
        for _ in range(4):
            await asyncio.sleep(0)
        assert transport._pool.opened == len(transport._pool)
        response = await transport.handle_async_request(httpx.Request("GET", server.url("/end")))
        assert await response.aread() == b"/end" * 3_000


@pytest.mark.parametrize("secure", [False, True])
async def test_cancelled_at_any_turn_of_the_loop_nothing_is_left(secure: bool) -> None:
    """For every n: cancelled in the n-th turn, the handshake's included, no socket is left and none is mixed up."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    async with serve(answering(ok(b"hi")), tls=tls() if secure else None) as server:
        async with wire(verify=trusting()) as transport:
            await get(transport, server.url())
        await server.quiet()
        before, number, unfinished = descriptors(), 0, True
        while unfinished:
            number += 1
            async with wire(verify=trusting()) as transport:
                tasks = [asyncio.create_task(get(transport, server.url())) for _ in range(3)]
                for _ in range(number):
                    await asyncio.sleep(0)
                unfinished = any(task.cancel() for task in tasks)
                await asyncio.gather(*tasks, return_exceptions=True)
            await server.quiet()
            assert (descriptors(), faults) == (before, [])
