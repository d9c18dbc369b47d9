"""Is it polite, and is it fast all the same? Tables for the promises PO-01 to PO-10, measured at a site's log.

    python -m benchmarks.politeness              # everything: about half an hour
    python -m benchmarks.politeness mixes        # PO-01, PO-02, PO-03 in simulation: rates × hosts × mixes
    python -m benchmarks.politeness server       # PO-01, PO-02 at the log of a real server on loopback
    python -m benchmarks.politeness real         # the same in every mix, kill -9 and resume among them
    python -m benchmarks.politeness slow         # PO-08: one slow host beside 49 fast ones
    python -m benchmarks.politeness fair         # PO-09: a million URLs of one host, then 99 hosts with a hundred
    python -m benchmarks.politeness many         # 3,000 busy hosts, of which 1,024 have a place at a time
    python -m benchmarks.politeness queue        # PO-09: claims beside a million queued URLs
    python -m benchmarks.politeness hosts        # PO-10: a hundred thousand hosts
    python -m benchmarks.politeness proof        # what the proof of a million requests costs

Exit code 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

from benchmarks.mixes import CONCURRENCY, JITTER, MIXES, excess, measure
from benchmarks.realmixes import HOSTS as REAL_HOSTS
from benchmarks.realmixes import RATE as REAL_RATE
from benchmarks.realmixes import REAL, Served, judged, log_server, measure_real
from scraper import Crawl, Page, Request, Spider
from scraper.core.frontier import Frontier
from scraper.core.models import Options, QueuedRequest
from scraper.core.urls import fingerprint
from scraper.store.file.database import Database
from scraper.store.file.schema import prepare
from scraper.store.file.writer import connect
from scraper.store.frontier import SqliteFrontier
from scraper.store.queue.runs import begin
from scraper.testing import Answer, Site, simulate

RATES, HOSTS = (1.0, 5.0, 20.0), (1, 10, 50)


# ------------------------------------------------------------------------------------------- simulation


def mixes(requests: int, only: str | None = None) -> bool:
    """Every mix, or one, at every rate with every number of hosts."""
    print(
        "| mix | rate | hosts | requests | violations | smallest gap | of the rate |"
        f" at once (of {CONCURRENCY}) | virtual s | real s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    total = violations = 0
    for mix in (mix for mix in MIXES if only in (None, mix.name)):
        for rate in RATES:
            for hosts in HOSTS:
                began = time.perf_counter()
                seen = measure(mix, rate, hosts, requests)
                total, violations = total + seen.requests, violations + seen.violations
                print(f"| {mix.name} | {rate:g}/s | {hosts} | {seen.requests} | {seen.violations} |"
                      f" {seen.smallest:.4f} | {seen.share:.1%} | {seen.most_open} | {seen.seconds:.0f} |"
                      f" {time.perf_counter() - began:.1f} |", flush=True)  # fmt: skip
    print(f"\n{total:,} requests, {violations} violations\n", flush=True)
    return not violations


def fast_ones(*, slow: bool, hosts: int = 49, urls: int = 200) -> float:
    """When the last fast host is done, in virtual seconds, alone or beside one that takes 30 s for a page."""

    class Fast(Spider[dict]):
        rate = "5/s"
        concurrency = 4
        scope = "any"

        async def start(self):
            for i in range(10_000 if slow else 0):
                yield Request(f"https://slow.test/{i}")
            for i in range(urls):
                for host in range(hosts):
                    yield Request(f"https://fast{host}.test/{i}")

        def parse(self, page: Page):
            yield {"url": page.url}

    site = Site(lambda request: Answer("x", latency=30.0 if request.url.host == "slow.test" else 0.05))
    simulate(Fast, site, settings={"max_time": 60 + urls})
    return max(hit.ended for hit in site.hits if hit.host != "slow.test")


def fair(urls: int = 1_000_000, small: int = 99, each: int = 100, rate: float = 2.0) -> bool:
    """PO-09: when the small hosts are done, against a hundred pages at their rate; Jain's index meanwhile."""

    class Uneven(Spider[dict]):
        scope = "any"

        async def start(self):
            for i in range(urls):
                yield Request(f"https://big.test/{i}")
            for i in range(each):
                for host in range(small):
                    yield Request(f"https://small{host}.test/{i}")

        def parse(self, page: Page):
            yield {"url": page.url}

    ideal = each / rate
    site = Site(lambda request: "x", latency=0.05)
    limits = {"rate": rate, "robots": False, "max_time": 2 * ideal}
    began = time.perf_counter()
    simulate(Uneven, site, settings=limits)
    last = max(hit.at for hit in site.hits if hit.host != "big.test")
    served = Counter(hit.host for hit in site.hits if hit.at <= ideal)
    jain = sum(served.values()) ** 2 / (len(served) * sum(n * n for n in served.values()))
    done = Counter(hit.host for hit in site.hits)
    print(f"{urls:,} URLs of one host first, then {small} hosts with {each} each at {rate:g}/s: the last small host is"
          f" done after {last / ideal:.2f} of its ideal time, Jain's index {jain:.4f}"
          f" ({time.perf_counter() - began:.0f} s of real time)\n", flush=True)  # fmt: skip
    complete = all(done[f"small{host}.test"] == each for host in range(small))
    return complete and last <= 1.5 * ideal and jain >= 0.95


def slow_host() -> bool:
    """PO-08."""
    alone, beside = fast_ones(slow=False), fast_ones(slow=True)
    print(f"49 fast hosts, 200 pages each: {alone:.1f} s alone, {beside:.1f} s beside a host that takes 30 s for"
          f" each of 10,000 pages: {beside / alone:.3f} times\n", flush=True)  # fmt: skip
    return beside <= 1.2 * alone


# ------------------------------------------------------------------------------------------- a real server


class Loopback(Spider[dict]):
    """Pages, redirects, failures and refusals of every host."""

    concurrency = 4
    origins: list[str] = []
    pages: int = 10

    async def start(self):
        for i in range(self.pages):
            for origin in self.origins:
                kind = "b" if i == self.pages // 2 else "e" if i % 17 == 3 else "r" if i % 5 == 1 else "p"
                yield Request(f"{origin}/{kind}{i}")

    def parse(self, page: Page):
        yield {"url": page.url}


def serve(rate: float, hosts: int, pages: int, jitter: float = JITTER) -> Served:
    """Crawl the real server and hold its log against the promise; `early` is the worst by which a send was too soon."""
    with tempfile.TemporaryDirectory() as folder, log_server(hosts) as (origins, log):
        settings = {"rate": rate, "max_failed": 1.0}
        crawl = Crawl(
            Loopback,
            db=Path(folder, "s.db"),
            arguments={"origins": origins, "pages": pages},
            settings=settings,
        )
        summary = asyncio.run(crawl.run())
    return judged(log, rate, summary.pages, jitter)


def server() -> bool:
    """PO-01 and PO-02 at a real server's log."""
    print("| rate | hosts | requests | violations | earliest, ms | at once (of 4) |")
    print("|---|---|---|---|---|---|")
    total = violations = 0
    for rate, hosts, pages in ((20.0, 1, 300), (20.0, 10, 150), (5.0, 50, 50), (50.0, 10, 400)):
        seen = serve(rate, hosts, pages)
        total, violations = total + seen.requests, violations + seen.violations
        print(
            f"| {rate:g}/s | {hosts} | {seen.requests} | {seen.violations} | {1000 * seen.early:.2f} | {seen.most_open} |",
            flush=True,
        )
    print(f"\n{total:,} requests, {violations} violations\n", flush=True)
    return not violations


def real(requests: int, only: str | None = None) -> bool:
    """PO-01 and PO-02 at a real server's log, in every mix."""
    print(
        f"| mix, {REAL_HOSTS} hosts at {REAL_RATE:g}/s | requests | violations | earliest, ms | at once (of 4) | pages | s |"
    )
    print("|---|---|---|---|---|---|---|")
    total = violations = 0
    for mix in (mix for mix in REAL if only in (None, mix.name)):
        began = time.perf_counter()
        seen = measure_real(mix, requests)
        total, violations = total + seen.requests, violations + seen.violations
        print(
            f"| {mix.name} | {seen.requests:,} | {seen.violations} | {1000 * seen.early:.2f} | {seen.most_open} |"
            f" {seen.pages:,} | {time.perf_counter() - began:.0f} |",
            flush=True,
        )
    print(f"\n{total:,} requests, {violations} violations\n", flush=True)
    return not violations


def many(hosts: int = 3_000, seconds: float = 120.0) -> bool:
    """More hosts than places in memory, all of them busy: what each gets, with too little time for all and with enough."""
    return all([_crowd(hosts, seconds, 2.0, 80), _crowd(hosts, seconds, 0.1, 13)])


def _crowd(hosts: int, seconds: float, rate: float, each: int) -> bool:
    class Crowd(Spider[dict]):
        robots = False
        scope = "any"

        async def start(self):
            for page in range(each):
                for host in range(hosts):
                    yield Request(f"https://host{host}.test/{page}")

        def parse(self, page: Page):
            return None

    site = Site(lambda request: "x", latency=0.1)
    began = time.perf_counter()
    simulate(Crowd, site, settings={"rate": rate, "in_flight": 100, "max_time": seconds})
    served = Counter(hit.host for hit in site.hits)
    first: dict[str, float] = {}
    for hit in site.hits:
        first.setdefault(hit.host, hit.at)
    violations = sum(excess(times, rate) for times in _times_of(site).values())
    jain = sum(served.values()) ** 2 / (hosts * sum(n * n for n in served.values()))
    last, least, most = max(first.values()), min(served.values()), max(served.values())
    print(f"{hosts:,} busy hosts at {rate:g}/s, {seconds:.0f} s, {len(site.hits):,} requests: {len(served):,} served, the"
          f" last one first after {last:.0f} s; {least} to {most} pages each, Jain's index"
          f" {jain:.4f}; {violations} violations ({time.perf_counter() - began:.0f} s real)\n", flush=True)  # fmt: skip
    return len(served) == hosts and least >= len(site.hits) / hosts / 2 and not violations


def _times_of(site: Site) -> dict[str, list[float]]:
    of_host: dict[str, list[float]] = defaultdict(list)
    for hit in sorted(site.hits, key=lambda hit: hit.at):
        of_host[hit.host].append(hit.at)
    return of_host


# ------------------------------------------------------------------------------------------- the queue


def _request(host: int, number: int) -> QueuedRequest:
    url = f"https://h{host}.test/{number}"
    return QueuedRequest(url, fingerprint(url), f"h{host}.test", Options(callback="parse"))


async def _claims(path: str, urls: int, hosts: int) -> tuple[list[float], list[float]]:
    """CPU seconds of each claim and each refill, transaction included, beside so many URLs of one host."""
    database = await Database.open(path, holder="benchmark", now=0.0, inline=True)
    run = await database.writer.submit(
        lambda conn: begin(conn, spider="s", target="s", series="s", options={}, now=0.0)
    )
    frontier: Frontier = SqliteFrontier(database.writer, run.id)
    for first in range(0, urls, 10_000):
        await frontier.add([_request(0, first + i) for i in range(10_000)], now=1.0)
    for first in range(1, hosts, 1_000):
        await frontier.add([_request(first + i, n) for i in range(1_000) for n in range(3)], now=1.0)
    claims, refills = [], []
    for _ in range(hosts // 2):
        began = time.thread_time()
        leases = await frontier.claim("me", domains=1, per_domain=2, lease=30.0, now=2.0)
        claims.append(time.thread_time() - began)
        began = time.thread_time()
        await frontier.refill(leases[0], 16, now=2.0)
        refills.append(time.thread_time() - began)
    await database.close()
    return claims, refills


def queue(urls: int = 1_000_000, hosts: int = 10_000) -> bool:
    """PO-09: the price of a claim."""
    with tempfile.TemporaryDirectory() as folder:
        claims, refills = asyncio.run(_claims(str(Path(folder, "q.db")), urls, hosts))
    print(f"beside {urls:,} URLs of one host and {hosts:,} other hosts, CPU with the transaction:")
    for name, taken in (("claims", sorted(claims)), ("refills", sorted(refills))):
        median, p99 = (1000 * taken[len(taken) * share // 100] for share in (50, 99))
        print(f"{len(taken):,} {name}: median {median:.2f} ms, p99 {p99:.2f} ms", flush=True)
    print()
    return sorted(claims)[len(claims) * 99 // 100] < 0.002


def hosts(count: int = 100_000) -> bool:
    """PO-10: a page of each of so many hosts."""

    class Wide(Spider[dict]):
        robots = False
        rate = "1/s"

        async def start(self):
            for host in range(count):
                yield Request(f"https://host{host}.test/")

        def parse(self, page: Page):
            return None

    site = Site(lambda request: "x", latency=0.01)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    done = simulate(Wide, site)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done.summary.pages:,} pages of {count:,} hosts: peak {after:.0f} MB ({before:.0f} MB before), the site's log"
          f" of {len(site.hits):,} lines included, in {time.perf_counter() - began:.0f} s\n", flush=True)  # fmt: skip
    return done.summary.pages == count


# ------------------------------------------------------------------------------------------- the proof


def _plant(path: str, sends: int) -> None:
    """A database with so many polite sends to one domain."""
    with closing(connect(path)) as conn:
        prepare(conn)
        conn.execute("INSERT INTO _domains (id, name) VALUES (1, 'a.test')")
        conn.execute("INSERT INTO _paces (id, gap, pause, concurrency, agent) VALUES (1, 0.2, 0, 2, 'bot')")
        conn.execute(
            "INSERT INTO _origins (origin, domain, robots, expires) VALUES ('https://a.test:443', 1, 'User-agent: *', 1e12)"
        )
        begin(conn, spider="s", target="s", series="s", options={}, now=0.0)
        conn.execute("BEGIN")
        conn.executemany(
            "INSERT INTO _sends (run, request, domain, kind, url, sent, ended, status, bytes, pace)"
            " VALUES (1, 0, 1, 'page', 'https://a.test/' || :n, 1e9 + :n * 0.2, 1e9 + :n * 0.2 + 0.1, 200, 1, 1)",
            ({"n": number} for number in range(sends)),
        )
        conn.execute("COMMIT")


def proof(sends: int = 1_000_000) -> bool:
    """What the proof itself costs, in a process of its own."""
    kept = True
    for count in (sends // 50, sends):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "p.db"))
            _plant(path, count)
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-c", _PROVE, path]
            told = subprocess.run(command, capture_output=True, text=True, check=False)
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        kept &= told.returncode == 0
        print(
            f"proof of {count:,} sends: {ended.ru_utime - began.ru_utime:.1f} s CPU, peak {told.stdout.strip()} MB",
            flush=True,
        )
    print()
    return kept


_PROVE = """
import resource, sys
from scraper.query import open_readonly
from scraper.reports.politeness import prove
broken = [proof.broken for proof in prove(open_readonly(sys.argv[1])) if proof.broken]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(bool(broken))
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("mixes", "server", "real", "slow", "fair", "many", "queue", "hosts", "proof"),
    )
    parser.add_argument("--requests", type=int, default=20_000, help="of each mix (20,000)")
    parser.add_argument("--mix", choices=[mix.name for mix in MIXES], help="only this one")
    given = parser.parse_args()
    parts = {"server": server, "slow": slow_host, "fair": fair, "many": many, "queue": queue, "hosts": hosts, "proof": proof,
             "mixes": lambda: mixes(given.requests, given.mix), "real": lambda: real(given.requests, given.mix)}  # fmt: skip
    kept = [part() for name, part in parts.items() if given.what in (None, name)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
