"""Who a crawl is on the wire: what it says about itself, its cookies, credentials and proxies; and the veil over secrets.

Credentials and cookies are put on at the send, from what they are bound to, on every hop and by every way in; so
nothing has to be taken off again. With none configured and no cookie known, `dress` returns at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import httpx

from scraper.core.clock import Clock
from scraper.core.credentials import SECRET_HEADERS, SHORTEST, VEILED, Veil, secrets_of
from scraper.core.models import Cookie, Options, Proxy, read_proxies
from scraper.core.urls import Parts
from scraper.net.cookies import Jar
from scraper.net.proxies import Proxies, all_proxies
from scraper.settings import Settings
from scraper.version import VERSION

__all__ = ["Identity", "request_headers", "user_agent"]


def user_agent(settings: Settings) -> str:
    """Who is crawling, and how a site can write to them: what is sent, and what robots.txt is obeyed under."""
    for name, value in settings.headers.items():
        if name.lower() == "user-agent":
            return value
    if settings.user_agent is not None:
        return settings.user_agent
    return f"scraper/{VERSION}" + (f" (+{settings.contact})" if settings.contact else "")


def request_headers(settings: Settings, only: Collection[str] | None = None) -> httpx.Headers:
    """The headers of every request that has none of its own; of the setting's, `only` those named."""
    made = httpx.Headers(
        {
            "User-Agent": user_agent(settings),
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding": "gzip, deflate, br, zstd",
        }
    )
    made.update({n: v for n, v in settings.headers.items() if only is None or n.lower() in only})
    return made


class Identity:
    """Shared by all visits of a crawl. Invariant: nothing of it leaves for an origin it is not bound to.

    `secrets` are texts that are shown to nobody. Raises SettingsError when a credential's variable is not set.
    """

    def __init__(self, settings: Settings, clock: Clock, secrets: Iterable[str] = ()) -> None:
        self._clock = clock
        self._auth = settings.auth
        self._marked = settings.secret_headers
        self._settings = settings
        self._proxies = Proxies()
        self._has_proxies = bool(all_proxies(settings))
        self.jar = Jar() if settings.cookies is not False else None
        if self.jar is not None and not isinstance(settings.cookies, bool):
            for origin, values in settings.cookies.items():
                self.jar.put(origin, values)
        known = secrets_of(settings.auth, settings.cookies, settings.headers, settings.secret_headers)
        passwords = (proxy.password for proxy in all_proxies(settings))
        self.veil = Veil((*known, *passwords, *secrets))

    @property
    def uses_proxies(self) -> bool:
        return self._has_proxies

    def dress(self, request: httpx.Request, parts: Parts, options: Options, domain: str) -> str:
        """Put on the cookies for this URL and choose the proxy. Returns the Cookie header, "" for none.

        A request with a Cookie header of its own gets no other. Raises FetchError `proxy` while all rest.
        """
        cookies = self.cookies_for(parts, options) if self.jar or options.headers else ""
        if cookies and not _has(options, "cookie"):
            request.headers.encoding = "latin-1"  # what a server sent goes back octet by octet
            request.headers["Cookie"] = cookies
        if self._has_proxies and (proxies := self._proxies_for(domain)):
            clock = self._clock
            request.extensions["proxy"] = self._proxies.pick(proxies, clock.mono(), clock.unix())
        return cookies

    def cookies_for(self, parts: Parts, options: Options) -> str:
        """The Cookie header that a request for this URL would carry now; "" for none."""
        own = next((value for name, value in options.headers if name.lower() == "cookie"), None)
        if own is not None:
            return own
        return self.jar.header(parts, self._now()) if self.jar else ""

    def auth_for(self, parts: Parts, options: Options) -> httpx.Auth | None:
        """The credentials of an origin, unless the request brings an Authorization of its own."""
        if not self._auth or _has(options, "authorization"):
            return None
        return self._auth.get(parts.origin)

    def learn(self, parts: Parts, headers: httpx.Headers) -> list[Cookie]:
        """Keep the cookies an answer sets; what changed is returned."""
        if self.jar is None:
            return []
        lines = [value.decode("latin-1") for name, value in headers.raw if name.lower() == b"set-cookie"]
        return self.jar.learn(parts, lines, self._now()) if lines else []

    def veiled(self, text: str, options: Options) -> str:
        """Text that people may read: without our secrets, and without those of a request."""
        for name, value in options.headers:
            if len(value) >= SHORTEST and (name.lower() in SECRET_HEADERS or name.lower() in self._marked):
                text = text.replace(value, VEILED)
        return self.veil(text)

    def restore(self, cookies: Sequence[Cookie]) -> None:
        """Take over the stored cookies of a domain."""
        if self.jar is not None and cookies:
            self.jar.restore(cookies, self._now())

    def worked(self, request: httpx.Request) -> None:
        """An answer came."""
        if self._has_proxies and (proxy := request.extensions.get("proxy")) is not None:
            self._proxies.worked(proxy)

    def failed(self, request: httpx.Request, error: BaseException) -> None:
        """None came; when that is the proxy's own fault, it may have to rest."""
        if getattr(error.__cause__, "at_fault", False):
            self._proxies.failed(request.extensions["proxy"], self._clock.mono())

    def _now(self) -> float:
        return self._clock.wall()  # servers date their cookies by it

    def _proxies_for(self, domain: str) -> Sequence[Proxy]:
        own = self._settings.limit_for(domain)[1].proxy
        return self._settings.proxy if own is None else read_proxies(own)


def _has(options: Options, name: str) -> bool:
    return any(header.lower() == name for header, _ in options.headers)
