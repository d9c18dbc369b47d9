"""A generated shop, crawled by this project and by others in turn, each as a whole process on one core.

    python -m benchmarks.shop                     ours and the peers, 2,000 pages of 30 kB
    python -m benchmarks.shop --hosts 50          spread over 50 addresses
    python -m benchmarks.shop --serve gzip        sent compressed; or tls
    python -m benchmarks.shop scale               ours at 2,000 and at 200,000 pages (6 GB below .work)
    python -m benchmarks.shop workers             ours with one process and with two, 50 hosts
    python -m benchmarks.shop uvloop              ours on asyncio's own loop and on uvloop, where that is installed

All must fetch every page once and find exactly the items that the generator put there, or the benchmark fails; and the
database that ours left must show that nothing was switched off. Quote CPU per page and the ratios: pages/s on a shared
machine mean nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmarks.compare import Lane, compare, keep, table
from benchmarks.contenders import Bare, Contender, Crawlee, Items, Ours, Plain, Scrapling, Scrapy, Task
from benchmarks.measure import cores
from benchmarks.promises import promises
from benchmarks.serving import WORK, BenchmarkError, How, Server, port_for, serving
from benchmarks.shopsite import FIELDS, Kind, items, make

#: What may be named behind --only.
PEERS: dict[str, Callable[[], Contender]] = {
    "scrapy": Scrapy,
    "scrapling": Scrapling,
    "crawlee": Crawlee,
    "plain": Plain,
    "bare": Bare,
}


def task(concurrency: int) -> Task:
    return Task(
        "shop", "product", FIELDS, frozenset({"price"}), "scraper/demo/endless/spider.py", listed=True,
        concurrency=concurrency,
    )  # fmt: skip


@contextmanager
def served(kind: Kind, how: str) -> Iterator[Server]:
    """The shop, made where it is not there, on a server of its own."""
    with ExitStack() as stack:
        tls = stack.enter_context(_certificate(kind)) if how == "tls" else None
        alone = kind.hosts == 1
        asked = How(hosts=0 if alone else kind.hosts, zipped=how == "gzip", tls=tls)
        port = port_for(asked)
        scheme = "https" if tls else "http"
        folder = make(kind, f"{scheme}://127.0.0.{{host}}:{port}", zipped=asked.zipped)
        site = folder / "0" if alone else folder
        yield stack.enter_context(serving(site, cores()[0], asked, port))


def lane(name: str, contender: Contender, kind: Kind, server: Server, concurrency: int) -> Lane:
    job = task(concurrency)

    @cache
    def wanted() -> Items:
        return job.comparable(list(items(kind)))

    def prove(folder: Path, server: Server) -> str:
        return promises(folder / "ours.db", kind.pages, kind.items, job.table, server)

    proof = prove if isinstance(contender, Ours) else None
    return Lane(name, contender, job, server, kind.pages, wanted, proof)


@contextmanager
def _certificate(kind: Kind) -> Iterator[tuple[str, str, str]]:
    """Chain, key and authority of a certificate for the shop's addresses; made anew each time, valid for a day or so."""
    try:
        import trustme
    except ImportError as error:
        raise BenchmarkError("TLS needs trustme: pip install trustme") from error
    folder = WORK / "tls"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    authority = trustme.CA()
    issued = authority.issue_cert(*How(hosts=kind.hosts).addresses)
    names = tuple(str(folder / name) for name in ("chain.pem", "key.pem", "authority.pem"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(names[0], append=True)
    issued.private_key_pem.write_to_path(names[1])
    authority.cert_pem.write_to_path(names[2])
    yield names[0], names[1], names[2]


def peers(options: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """Ours and the others at one shop."""
    kind = Kind(options.pages, options.hosts)
    server = stack.enter_context(served(kind, options.serve))
    contenders: list[Contender] = [Ours(), *(PEERS[name]() for name in options.only)]
    return [lane(one.name, one, kind, server, options.concurrency) for one in contenders]


def scale(options: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """Ours at 2,000 pages, and at a hundred times as many."""
    lanes = []
    for pages in (2_000, options.pages):
        kind = Kind(pages, options.hosts)
        server = stack.enter_context(served(kind, options.serve))
        lanes.append(lane(f"{pages:,} pages", Ours(), kind, server, options.concurrency))
    return lanes


def workers(options: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """Ours with one process, and with two that share the database."""
    kind = Kind(options.pages, options.hosts)
    server = stack.enter_context(served(kind, options.serve))
    return [
        lane(name, Ours(*words), kind, server, options.concurrency)
        for name, words in (("one process", ()), ("two processes", ("--workers", "2")))
    ]


def uvloop(options: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """Ours on either loop."""
    if find_spec("uvloop") is None:
        raise BenchmarkError("uvloop is not installed here: pip install uvloop")
    kind = Kind(options.pages, options.hosts)
    server = stack.enter_context(served(kind, options.serve))
    loops = (("asyncio", "scraper"), ("uvloop", "benchmarks.on_uvloop"))
    return [
        lane(name, Ours(rate=options.rate, module=module), kind, server, options.concurrency)
        for name, module in loops
    ]


#: What may be measured: the lanes, pages and hosts where none are given.
WHAT = {
    "peers": (peers, 2_000, 1),
    "scale": (scale, 200_000, 1),
    "workers": (workers, 2_000, 50),
    "uvloop": (uvloop, 2_000, 1),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", nargs="?", choices=WHAT, default="peers", help="default: peers")
    add("--pages", type=int, metavar="N", help="pages of the shop: 2,000; for scale 200,000")
    add("--hosts", type=int, metavar="N", help="addresses it is spread over: 1; for workers 50")
    add("--serve", choices=("plain", "gzip", "tls"), default="plain", help="how it is sent (default plain)")
    add(
        "--only",
        default=",".join(PEERS),
        metavar="NAMES",
        help=f"which peers: {','.join(PEERS)}; none for ours alone",
    )
    add("--rounds", type=int, default=5, metavar="N", help="crawls of each (default 5)")
    add("-c", "--concurrency", type=int, default=64, metavar="N", help="requests in flight (default 64)")
    add(
        "--rate", default="none", metavar="RATE", help="for uvloop: requests a second and host (default none)"
    )
    add("--json", metavar="OUT", help="keep every figure, with versions and machine")
    add("--delete", action="store_true", help="remove the shop when done")
    options = parser.parse_args()
    _, pages, hosts = WHAT[options.what]
    options.pages, options.hosts = options.pages or pages, options.hosts or hosts
    options.only = [name for name in options.only.split(",") if name != "none"]
    if unknown := set(options.only) - set(PEERS):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if min(options.rounds, options.concurrency, options.pages, options.hosts) < 1 or options.hosts > 200:
        parser.error("numbers are 1 or more, --hosts 200 at most")
    return options


def main() -> int:
    """Exit code 0 when all found the same and all figures stand; 1 with one sentence otherwise."""
    options = _options()
    try:
        with ExitStack() as stack:
            lanes = WHAT[options.what][0](options, stack)
            kind = Kind(options.pages, options.hosts)
            print(
                f"shop of {kind.pages:,} pages on {kind.hosts} hosts, {kind.items:,} items, {options.serve}"
            )
            report = compare(lanes, options.rounds)
        keep({"what": options.what, "serve": options.serve, "hosts": options.hosts, **report}, options.json)
        print(table(report))
        if options.delete:
            shutil.rmtree(Kind(options.pages, options.hosts).folder)
    except BenchmarkError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
