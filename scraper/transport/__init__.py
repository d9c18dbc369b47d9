"""How a request gets onto the wire: `httpx.AsyncBaseTransport` is the seam, `wire.Wire` the default.

Nothing is imported here, so that whoever brings a transport of their own never loads aiohttp:
`scraper.transport.wire` has the transport, `resolver` its name lookups, `errors` what it raises.
"""

__all__: list[str] = []
