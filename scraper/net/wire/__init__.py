"""How a request gets onto the wire: `httpx.AsyncBaseTransport` is the seam, `wire.Wire` the default.

`scraper.net.wire.wire` has the transport, `resolver` its name lookups, `errors` what it raises. Before any of them
imports aiohttp, `roots` does.
"""

import scraper.net.wire.tls_roots  # noqa: F401 - for what it does

__all__: list[str] = []
