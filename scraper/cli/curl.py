"""A curl command line, as browsers copy it, made into a request. It is taken apart, never run."""

from __future__ import annotations

import argparse
import base64
import shlex
from typing import NoReturn

from scraper.core.models import Request
from scraper.errors import UsageError

__all__ = ["request_of"]

#: What changes nothing here: limits, redirects and decoding are the crawler's own.
_IGNORED = "--compressed -s --silent -S --show-error -L --location -i --include -v --verbose --http1.1 --http2 --globoff"
_IGNORED_WITH_VALUE = "-m --max-time --connect-timeout -o --output --max-redirs"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"curl: {message}")


def _parser() -> _Parser:
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--url", dest="named")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument(
        "-d",
        "--data",
        "--data-raw",
        "--data-binary",
        "--data-ascii",
        action="append",
        default=[],
        dest="data",
    )
    parser.add_argument("-b", "--cookie")
    parser.add_argument("-u", "--user")
    parser.add_argument("-A", "--user-agent")
    parser.add_argument("-e", "--referer")
    parser.add_argument("-G", "--get", action="store_true")
    parser.add_argument("-I", "--head", action="store_true")
    for flag in _IGNORED.split():
        parser.add_argument(flag, action="store_true", dest="ignored")
    for flag in _IGNORED_WITH_VALUE.split():
        parser.add_argument(flag, dest="ignored")
    return parser


def request_of(command: str) -> Request:
    """The request of `curl …`: -X, -H, -d, --data-raw, -b, -u, -A, -e, -G, -I, --url.

    Raises UsageError for what cannot be read, naming the flag.
    """
    try:
        words = shlex.split(command.replace("\\\r\n", " ").replace("\\\n", " "))
    except ValueError as error:
        raise UsageError(f"the curl command cannot be read: {error}") from error
    given = _parser().parse_args(words[1:] if words[:1] == ["curl"] else words)
    url = given.named or given.url
    if not url:
        raise UsageError("the curl command names no URL")
    url = url if "://" in url else f"http://{url}"
    content = "&".join(given.data) if given.data else None
    if any(part.startswith("@") for part in given.data):
        raise UsageError("curl -d @file: write the data itself; no file is read")
    if content is not None and given.get:
        url, content = f"{url}{'&' if '?' in url else '?'}{content}", None
    method = "HEAD" if given.head else given.request
    return Request(url, method=method, headers=_headers(given, content is not None), content=content)


def _headers(given: argparse.Namespace, has_data: bool) -> dict[str, str]:
    headers = {}
    for header in given.header:
        name, _, value = header.partition(":")
        headers[name.strip()] = value.strip()
    if has_data and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    own = {"Cookie": given.cookie, "User-Agent": given.user_agent, "Referer": given.referer}
    headers |= {name: value for name, value in own.items() if value is not None}
    if given.user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(given.user.encode()).decode()
    return {name: value for name, value in headers.items() if name.lower() not in {"accept-encoding", "host"}}
