"""The requests of a crawl as httpx has them: which headers go where."""

from __future__ import annotations

import httpx

from scraper.core.messages import request_of
from scraper.core.models import Options
from scraper.net.messages import Template

__all__ = ["CARRIED", "Outgoing"]

#: Headers a redirect to another origin may take along; all others may hold secrets.
CARRIED = frozenset({"accept", "accept-language", "accept-encoding", "user-agent", "content-type"})

#: Templates remembered; beyond it they are made anew.
MOST = 2_048


class Outgoing:
    """Makes the requests of one crawl.

    `headers` go to the origin a request starts from, `plain`, the ones that cannot be secret, to all others.
    """

    def __init__(self, headers: httpx.Headers, plain: httpx.Headers) -> None:
        self._headers = headers
        self._plain = plain
        self._templates: dict[tuple[str, str, bool], Template] = {}

    def request(self, url: str, options: Options, *, own: bool, named: bool) -> httpx.Request:
        """The request for a normalized URL. `own`: to the origin it starts from; `named`: a person named this host.

        Raises httpx.InvalidURL, ValueError or TypeError for what httpx refuses.
        """
        extensions = {"named": named}
        if not options.headers and not options.body:
            scheme, _, rest = url.partition("://")
            key = (options.method, f"{scheme}://{rest.partition('/')[0]}", own)
            template = self._templates.get(key) or self._template(key)
            if (request := template.request(url, extensions)) is not None:
                return request
        headers = self._headers if own else self._plain
        if options.headers:
            headers = httpx.Headers(headers)
            headers.update(dict(options.headers))
        content = options.body or None
        return request_of(options.method, url, headers=headers, content=content, extensions=extensions)

    def _template(self, key: tuple[str, str, bool]) -> Template:
        if len(self._templates) >= MOST:
            self._templates.clear()
        method, origin, own = key
        template = self._templates[key] = Template(method, origin, self._headers if own else self._plain)
        return template
