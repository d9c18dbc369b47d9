"""httpx requests for every host that browsers know.

httpx shows a host in Unicode, by the rules of IDNA 2008, when it makes a request: it raises for names that browsers take
by the rules of UTS 46, such as emoji (`xn--n3h.test`). Such a request is made for another host, and then given its own.
"""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["host_of", "request_of"]

#: Stands in for the host while httpx makes the request.
_STAND_IN = "stand-in.invalid"


def host_of(url: httpx.URL) -> str:
    """The host in Unicode, or as it is sent where httpx has no Unicode for it."""
    try:
        return url.host
    except UnicodeError:
        return url.raw_host.decode("ascii")


def request_of(
    method: str,
    url: str,
    *,
    headers: httpx.Headers | None = None,
    content: bytes | None = None,
    extensions: dict[str, Any] | None = None,
) -> httpx.Request:
    """The request for a normalized URL. `request.url.host` may raise UnicodeError; `raw_host` and `netloc` never do.

    Raises httpx.InvalidURL, ValueError or TypeError for what httpx refuses for other reasons than the host.
    """
    try:
        return httpx.Request(method, url, headers=headers, content=content, extensions=extensions)
    except UnicodeError:
        scheme, _, rest = url.partition("://")
        authority = rest.partition("/")[0]
        host, colon, port = authority.partition(":")
        other = f"{scheme}://{_STAND_IN}{colon}{port}{rest[len(authority) :]}"
        request = httpx.Request(method, other, headers=headers, content=content, extensions=extensions)
        reference = request.url._uri_reference
        request.url = httpx.URL.__new__(httpx.URL)
        request.url._uri_reference = reference._replace(host=host)
        if request.headers.get("host", "").startswith(_STAND_IN):
            request.headers["Host"] = authority
        return request
