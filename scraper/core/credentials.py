"""Who we are to a site: credentials bound to an origin, secrets that are not shown, and the veil over both.

A secret is read when the crawl is made, from the spider, a flag or the environment variable that the author
names; a variable that is missing is an error then. Nothing here is ever stored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Generator, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import httpx

from scraper.core.urls import SCHEMES, normalize, split
from scraper.errors import SettingsError, masked

__all__ = [
    "SECRET_HEADERS",
    "SHORTEST",
    "VEILED",
    "Basic",
    "Bearer",
    "Secret",
    "Veil",
    "read_auth",
    "read_cookies",
    "read_origin",
    "secrets_of",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What a cookie set by a person may not hold.
_NO_NAME, _NO_VALUE = re.compile(r"[\x00-\x20\x7f=;,]"), re.compile(r"[\x00-\x1f\x7f;]")

#: Headers that hold a secret by what they are, in lower case.
SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
#: Shorter texts are no secrets anyone should have, and would be veiled in the middle of words.
SHORTEST: Final = 4
VEILED: Final = "…"


class Secret(str):
    """Text that is used like any other and shown to nobody: its repr is masked, and no run stores it.

    As an argument: `token: Secret`, given with `-a token=…`; or `token: Secret = Secret.env("X_TOKEN")`, read
    from that variable unless it is given. A resume needs it again.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret({VEILED!r})"

    @classmethod
    def env(cls, variable: str) -> Secret:
        """The value of an environment variable, looked up when a crawl is made."""
        return _FromEnvironment(variable)

    def resolved(self, name: str) -> Secret:
        """What it is in the end. Raises SettingsError naming `name` when its variable is not set."""
        return self


class _FromEnvironment(Secret):
    """Holds the name of a variable until somebody asks for its value."""

    __slots__ = ()

    def resolved(self, name: str) -> Secret:
        return Secret(_variable(str(self), f"the argument {name}", f"; set it, or give -a {name}=…"))


def _variable(variable: str, name: str, hint: str = "") -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise SettingsError(f"{name}: the environment variable {variable} is not set{hint}")
    if _CONTROL.search(value):
        raise SettingsError(f"{name}: the environment variable {variable} holds a control character")
    return value


class _Credential(httpx.Auth):
    """A secret that is given, or in the environment variable `env`."""

    def __init__(self, secret: str | None, env: str | None) -> None:
        if (secret is None) == (env is None):
            raise TypeError(f"{type(self).__name__} takes the secret itself or env=, the name of a variable")
        self._given = secret
        self._env = env

    def secret(self, name: str = "auth") -> str:
        """The secret. Raises SettingsError naming `name` when its variable is not set."""
        if self._given is not None:
            return self._given
        return _variable(str(self._env), name)

    def __repr__(self) -> str:
        shown = f"env={self._env!r}" if self._env else repr(VEILED)
        return f"{type(self).__name__}({shown})"


class Bearer(_Credential):
    """`Authorization: Bearer …` (RFC 6750). The token, or `env`: the variable that holds it."""

    def __init__(self, token: str | None = None, *, env: str | None = None) -> None:
        super().__init__(token, env)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.secret()}"
        yield request


class Basic(_Credential):
    """`Authorization: Basic …` (RFC 7617). User, and the password or `env`: the variable that holds it."""

    def __init__(self, user: str, password: str | None = None, *, env: str | None = None) -> None:
        super().__init__(password, env)
        self.user = user

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield from httpx.BasicAuth(self.user, self.secret()).auth_flow(request)


# ------------------------------------------------------------------ what settings say


def read_origin(text: Any) -> str:
    """`scheme://host:port` of what a person wrote; ValueError when it is more or less than an origin."""
    expected = f"an origin such as https://api.example.com, not {masked(str(text))!r}"
    try:
        parts = split(normalize(text))
    except (TypeError, ValueError) as error:
        raise ValueError(expected) from error
    if parts.scheme not in SCHEMES or parts.path != "/" or parts.query or "@" in text:
        raise ValueError(expected)
    return parts.origin


def read_auth(value: Any) -> Mapping[str, httpx.Auth]:
    """The `auth` setting: credentials by origin."""
    if not isinstance(value, Mapping):
        raise TypeError('a mapping such as {"https://api.example.com": Bearer(env="TOKEN")}')
    made: dict[str, httpx.Auth] = {}
    for origin, auth in value.items():
        if not isinstance(auth, httpx.Auth):
            raise TypeError(f"Bearer, Basic or another httpx.Auth for {origin}")
        made[read_origin(origin)] = auth
    return MappingProxyType(made)


def read_cookies(value: Any) -> bool | Mapping[str, Mapping[str, str]]:
    """The `cookies` setting: whether there are any, or the first ones by origin."""
    if isinstance(value, str):
        value = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False,
                 "off": False}.get(value.strip().lower())  # fmt: skip
    if isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise TypeError('true, false, or cookies by origin: {"https://shop.com": {"name": "value"}}')
    made = {}
    for origin, cookies in value.items():
        if not isinstance(cookies, Mapping) or not all(_is_cookie(n, v) for n, v in cookies.items()):
            raise ValueError(f"names and values as a Cookie header takes them for {masked(str(origin))}")
        made[read_origin(origin)] = MappingProxyType(dict(cookies))
    return MappingProxyType(made)


def _is_cookie(name: Any, value: Any) -> bool:
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    return not _NO_NAME.search(name) and not _NO_VALUE.search(value)


# ------------------------------------------------------------------ what is not shown


class Veil:
    """Takes known secrets, and `user:password@` of URLs, out of text that people will read."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(VEILED, text)
        return masked(text)


def secrets_of(
    auth: Mapping[str, httpx.Auth],
    cookies: bool | Mapping[str, Mapping[str, str]],
    headers: Mapping[str, str],
    marked: Collection[str],
) -> list[str]:
    """The secrets in these settings. Raises SettingsError when a credential's variable is not set."""
    found = [a.secret(f"auth for {origin}") for origin, a in auth.items() if isinstance(a, _Credential)]
    if isinstance(cookies, Mapping):
        found += [value for of_origin in cookies.values() for value in of_origin.values()]
    found += [value for name, value in headers.items() if name.lower() in SECRET_HEADERS | set(marked)]
    return found
