"""How a request gets onto the wire: `httpx.AsyncBaseTransport` is the seam, `wire.Wire` the default.

`wire` is one exchange, `protocol` one connection and `head` how an answer begins; `dialing` makes connections, with
`tls` and `proxy_tunnel`, `pool` keeps them; `resolver` looks names up, and `errors` is what all of them raise.
"""

__all__: list[str] = []
