"""Connections through a proxy: http (RFC 9110 section 9.3.6, CONNECT), https, and socks with the extra.

A pool belongs to one proxy, so no connection made through one is ever taken for another, or for none.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, Final

import aiohttp
import httpx
from aiohttp import ClientTimeout
from aiohttp.client_proto import ResponseHandler

from scraper.core.extras import require
from scraper.core.machine_limits import is_limit
from scraper.core.models import Proxy
from scraper.net.wire.connection import Connector, Origin, WireProtocol, dialing
from scraper.net.wire.errors import ProxyFailed

__all__ = ["ProxyConnector", "absolute_head", "refused"]

#: Interim answers to a CONNECT before the final one.
MAX_INTERIM: Final = 8


def absolute_head(request: httpx.Request, proxy: Proxy) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Target and extra headers of a plain http request that goes to a proxy (RFC 9112 section 3.2.2)."""
    url = request.url
    target = b"%b://%b%b" % (url.raw_scheme, url.netloc, url.raw_path)
    return target, _authorization(proxy)


def _authorization(proxy: Proxy) -> list[tuple[bytes, bytes]]:
    return [(b"Proxy-Authorization", proxy.authorization)] if proxy.authorization else []


class ProxyConnector(Connector):
    """The pool of one proxy. Its keys are those of the targets.

    What the proxy itself gets wrong is `ProxyFailed`; `Dial.reached` is set once a connection to it stands,
    so that a time-out after that can be told from one before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, **options: Any) -> None:
        super().__init__(loop, **options)
        self._proxy = proxy
        self._at: Origin | None = None
        if proxy.is_socks:
            self._socks = require("socks", f"the proxy {proxy}")
        else:
            self._at = Origin(httpx.URL(str(proxy)), loop)

    async def _create_connection(self, req: Any, traces: Any, timeout: ClientTimeout) -> ResponseHandler:
        if self._at is None:
            return await self._over_socks(req, timeout)
        try:
            transport, protocol = await self._create_direct_connection(self._at, [], timeout)
        except (aiohttp.ClientError, OSError) as exc:
            if is_limit(exc):
                raise  # not the proxy's fault
            raise ProxyFailed(f"no connection to the proxy {self._proxy}", at_fault=True) from exc
        dialing.get().reached = True
        if not req.is_ssl():
            return protocol
        try:
            await self._ask_for_tunnel(transport, protocol, req)
        except BaseException:
            transport.abort()
            raise
        return (await self._start_tls_connection(transport, req, timeout))[1]

    async def _ask_for_tunnel(
        self, transport: asyncio.Transport, protocol: ResponseHandler, req: Origin
    ) -> None:
        assert isinstance(protocol, WireProtocol)
        target = req.connect_to.encode()
        lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: " + target]
        lines += [name + b": " + value for name, value in _authorization(self._proxy)]
        protocol.begin(head_only=True)
        transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        code = 0
        try:
            for _ in range(MAX_INTERIM + 1):
                message, _ = await protocol.read()
                if (code := message.code) >= 200:
                    break
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError) as exc:
            if is_limit(exc):
                raise
            raise ProxyFailed(f"the proxy {self._proxy} gave no answer", at_fault=True) from exc
        if not 200 <= code < 300:
            raise refused(self._proxy, code, req.netloc)

    async def _over_socks(self, req: Origin, timeout: ClientTimeout) -> ResponseHandler:
        """A connection made by the socks proxy; it looks the name up itself only for socks5h."""
        proxy, module, loop = self._proxy, self._socks, self._loop
        host = dialing.get().address or req.name.rstrip(".").strip("[]")
        kind = getattr(module.ProxyType, "SOCKS4" if proxy.scheme == "socks4" else "SOCKS5")
        made_by = import_module("python_socks.async_.asyncio").Proxy
        way = made_by(kind, proxy.host, proxy.port, proxy.user or None, proxy.password or None, True)
        try:
            sock = await way.connect(host, req.port, timeout=timeout.sock_connect)
        except (module.ProxyConnectionError, module.ProxyTimeoutError) as exc:
            if is_limit(exc):
                raise
            raise ProxyFailed(f"no connection to the proxy {proxy}", at_fault=True) from exc
        except module.ProxyError as exc:
            raise ProxyFailed(f"the proxy {proxy} does not connect to {req.netloc}: {exc}") from exc
        dialing.get().reached = True
        context = self._get_ssl_context(req)
        name = (req.server_hostname or req.name).rstrip(".").strip("[]") if context else None
        _, protocol = await loop.create_connection(
            self._factory, sock=sock, ssl=context, server_hostname=name
        )
        return protocol


def refused(proxy: Proxy, status: int, where: str) -> ProxyFailed:
    """What a proxy's own status says: 407 is about us, everything else about the host it should connect to."""
    if status == 407:
        return ProxyFailed(f"the proxy {proxy} refuses our credentials (HTTP 407)", at_fault=True)
    return ProxyFailed(f"the proxy {proxy} does not connect to {where}: HTTP {status}")
