"""What a crawl may look like from a site's side: the mixes of requests that politeness is measured with.

A mix is a site and a spider for so many hosts and requests. Each one counts every request that arrives: pages,
redirects, retries and robots.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import httpx

from scraper import Page, Request, Spider
from scraper.testing import Answer, Hit, Simulation, Site, simulate

__all__ = ["JITTER", "MIXES", "Mix", "Seen", "excess", "measure", "pages_of"]

#: Seconds by which requests may be early at the server: the promise allows them.
JITTER = 0.005
#: What a refused request is told to wait, in seconds.
RETRY_AFTER = 7
CONCURRENCY = 8


class Many(Spider[dict]):
    """Reads so many pages of so many hosts, and follows the links it finds there."""

    name = "many"
    concurrency = CONCURRENCY
    scope = "any"
    hosts: int = 1
    pages: int = 100

    async def start(self):
        for page in range(self.pages):
            for host in range(self.hosts):
                yield Request(f"https://h{host}.test/{page}")

    def parse(self, page: Page):
        yield {"url": page.url}
        yield page.follow_all("a")


@dataclass(frozen=True)
class Mix:
    """A name, how the site answers, how many requests one page of the start makes, and how often it is killed."""

    name: str
    site: Callable[[int], Site]
    each: float
    kills: int = 0


def _steady(seed: int) -> Site:
    return Site(_page, latency=(0.02, 0.4), seed=seed)


def _page(request: httpx.Request) -> str | None:
    return None if request.url.path == "/robots.txt" else "x"


def _bursty(seed: int) -> Site:
    """Pages that come twenty at once, after a page that takes long."""

    def answer(request: httpx.Request) -> Answer | None:
        path = request.url.path
        if path == "/robots.txt":
            return None
        if "-" in path:
            return Answer("x", latency=0.03)
        return Answer("".join(f'<a href="{path}-{i}">x</a>' for i in range(20)), latency=15.0)

    return Site(answer, seed=seed)


def _retries(seed: int) -> Site:
    broken = [(500, 0.15), (httpx.ReadError("reset"), 0.1), (httpx.ConnectTimeout("slow"), 0.05)]
    return Site(_page, latency=(0.02, 0.3), faults=broken, seed=seed)


def _redirects(seed: int) -> Site:
    """Every page is three redirects away, every fourth on the neighbour host."""

    def answer(request: httpx.Request) -> Answer | str | None:
        path, query, host = request.url.path, request.url.query.decode(), request.url.host
        if path == "/robots.txt":
            return None
        hop = int(query or 0)
        if hop == 3:
            return "x"
        if hop == 2 and path.endswith("0"):
            host = f"h{int(host[1:].partition('.')[0]) ^ 1}.test"
        return Answer(status=302, headers={"Location": f"https://{host}{path}?{hop + 1}"}, latency=0.01)

    return Site(answer, latency=(0.02, 0.2), seed=seed)


def _refusals(seed: int) -> Site:
    refused = [
        (Answer(status=429, headers={"Retry-After": str(RETRY_AFTER)}, latency=0.2), 0.004),
        (Answer(status=503, latency=0.01), 0.004),
    ]
    return Site(_page, latency=(0.02, 0.4), faults=refused, seed=seed)


MIXES = (
    Mix("steady", _steady, 1),
    Mix("bursty", _bursty, 21),
    Mix("retry storm", _retries, 1.35),
    Mix("redirect storm", _redirects, 4),
    Mix("kill -9 and resume", _steady, 1, kills=5),
    Mix("429 mix", _refusals, 1),
)


@dataclass(frozen=True)
class Seen:
    """What the server's log says. `violations` counts requests; `smallest` and `share` are those of the rate."""

    requests: int
    violations: int
    smallest: float
    share: float
    most_open: int
    seconds: float


def pages_of(mix: Mix, requests: int, hosts: int) -> int:
    """Start pages for each host, so that at least so many requests are made in all."""
    return max(2, round(1.03 * requests / hosts / mix.each) + 1)


def run(mix: Mix, rate: float, hosts: int, requests: int, seed: int = 1) -> tuple[Simulation, Site]:
    """One simulated crawl."""
    site, pages = mix.site(seed), pages_of(mix, requests, hosts)
    expected = pages * mix.each / rate
    kills = sorted(Random(seed).uniform(0.05, 0.9) * expected for _ in range(mix.kills))
    options: dict[str, Any] = {
        "arguments": {"hosts": hosts, "pages": pages},
        "settings": {"rate": rate, "max_failed": 1.0, "in_flight": 400},
    }
    return simulate(Many, site, kill=kills, seed=seed, **options), site


def measure(mix: Mix, rate: float, hosts: int, requests: int, seed: int = 1) -> Seen:
    """Crawl, and hold the server's log against the promise."""
    done, site = run(mix, rate, hosts, requests, seed)
    of_host: dict[str, list[Hit]] = {}
    for hit in site.hits:
        of_host.setdefault(hit.host, []).append(hit)
    violations, smallest = 0, float("inf")
    for hits in of_host.values():
        hits.sort(key=lambda hit: hit.at)
        times = [hit.at for hit in hits]
        violations += excess(times, rate) + early(hits)
        smallest = min([smallest, *(rate * (after - before) for before, after in pairwise(times))])
    violations += sum(most > CONCURRENCY for most in site.most_open.values())
    share = len(site.hits) / (rate * hosts * done.seconds)
    return Seen(len(site.hits), violations, smallest, share, max(site.most_open.values()), done.seconds)


def excess(times: Sequence[float], rate: float, jitter: float = JITTER) -> int:
    """How many requests end a window that holds more than rate * W + 1 of them (PO-01), in one pass."""
    found, peak = 0, float("-inf")
    for i, at in enumerate(times):
        key = at - i / rate
        found += peak - key > jitter
        peak = max(peak, key)
    return found


def early(hits: Iterable[Hit]) -> int:
    """How many requests came before the Retry-After of an answer that was there already."""
    found, held, answers = 0, float("-inf"), []
    for hit in hits:
        while answers and answers[0] <= hit.at - JITTER:  # it takes that long until it is known
            held = max(held, answers.pop(0) + RETRY_AFTER)
        found += hit.at < held - JITTER
        if hit.status == 429:
            answers.append(hit.ended)
            answers.sort()
    return found
