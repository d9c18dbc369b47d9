"""Proxies on loopback, as handlers of the raw server: http with CONNECT, and socks5."""

from __future__ import annotations

import asyncio
import contextlib

from tests.support.hosts import header_of
from tests.support.raw_server import Client, Handler, ok

__all__ = ["http_proxy", "socks_proxy"]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError, OSError):
            while octets := await reader.read(65_536):
                writer.write(octets)
                await writer.drain()
    finally:
        writer.close()


async def _join(client: Client, port: int) -> None:
    """Pass octets to and fro between a client and a port of this machine, until one of them leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pump(client._reader, writer), _pump(reader, client._writer))


def http_proxy(credentials: str = "", refuse: int = 0) -> Handler:
    """A proxy that knows every name as this machine; `credentials` as in Proxy-Authorization, or anything."""

    async def handler(client: Client) -> None:
        while request := await client.request():
            method, target = request.split(b" ", 2)[:2]
            if refuse or (credentials and header_of(request, "proxy-authorization") != credentials):
                await client.send(ok(b"", status=f"{refuse or 407} No"))
                return
            if method == b"CONNECT":
                await client.send(b"HTTP/1.1 200 Connected\r\n\r\n")
                await _join(client, int(target.rpartition(b":")[2]))
                return
            netloc = target.removeprefix(b"http://").partition(b"/")[0]
            reader, writer = await asyncio.open_connection("127.0.0.1", int(netloc.rpartition(b":")[2]))
            path = b"/" + target.removeprefix(b"http://").partition(b"/")[2]
            try:
                writer.write(request.replace(target, path, 1))
                head = await reader.readuntil(b"\r\n\r\n")
                answer = head + await reader.readexactly(int(header_of(head, "content-length") or 0))
            finally:
                writer.close()
            if not await client.send(answer):
                return

    return handler


def socks_proxy(asked: list[tuple[str, int]]) -> Handler:
    """A socks5 proxy (RFC 1928) that connects to this machine, whatever it is asked for, and notes what."""

    async def handler(client: Client) -> None:
        reader = client._reader
        _, methods = await reader.readexactly(2)
        offered = await reader.readexactly(methods)
        if b"\x02" in offered:
            await client.send(b"\x05\x02")
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            asked.append((f"{user.decode()}:{password.decode()}", 0))
            await client.send(b"\x01\x00")
        else:
            await client.send(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        length = 4 if kind == 1 else (await reader.readexactly(1))[0]
        raw = await reader.readexactly(length)
        host = ".".join(map(str, raw)) if kind == 1 else raw.decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        asked.append((host, port))
        await client.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"))
        await _join(client, port)

    return handler
