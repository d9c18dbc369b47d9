"""This project and Scrapy crawl copies of three real sites in turn, each as a whole process on one core.

    python -m benchmarks.sites [books] [quotes] [postgresql] [--site DIR] [--rounds N] [-c N] [--json OUT]

Ours is the project's own example for the site (spiders/books.py, quotes.py, docs.py), into a database with everything on;
Scrapy's does the same into a JSON-lines feed. Both must fetch every page once and find the same items, field by field, in
the numbers that expected.json names, which was worked out without either of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.compare import Lane, compare, keep, table
from benchmarks.contenders import Contender, Items, Ours, Scrapy, Task
from benchmarks.measure import cores
from benchmarks.promises import promises
from benchmarks.serving import SITES, BenchmarkError, How, Server, serving, site_folder

__all__ = ["JOBS", "Job", "lane", "served_as"]

#: How many pages our spiders fetch of the quotes: ten with quotes, fifty of authors.
QUOTES, AUTHORS = 10, 50


@dataclass(frozen=True)
class Job:
    """A site and what a crawl of it must come to; `right` holds its items against expected.json."""

    site: str
    task: Task
    pages: int
    items: int
    right: Callable[[Items, dict[str, Any]], bool]
    how: How = field(default_factory=How)

    def at(self, concurrency: int) -> Job:
        return replace(self, task=replace(self.task, concurrency=concurrency))


def _books_are_right(items: Items, expected: dict[str, Any]) -> bool:
    return sum((item[2] for item in items), Decimal()) == Decimal(expected["items"]["sum_price"])


def _quotes_are_right(items: Items, expected: dict[str, Any]) -> bool:
    tags = [tag for item in items for tag in json.loads(item[2])]
    of = expected["items"]
    return (len({item[1] for item in items}), len(tags)) == (of["distinct_authors"], of["tag_uses"])


def _manual_is_right(items: Items, expected: dict[str, Any]) -> bool:
    return len({item[0] for item in items}) == expected["crawl"]["pages_200_html_urls"]


JOBS = {
    "books": Job(
        "books",
        Task(
            "books", "book", ("upc", "title", "price", "tax", "rating", "stock", "reviews", "category"),
            frozenset({"price", "tax"}), spider="spiders/books.py",
        ),
        1194, 1000, _books_are_right,
    ),
    "quotes": Job(
        "quotes",
        Task("quotes", "quote", ("text", "author", "tags"), spider="spiders/quotes.py"),
        QUOTES + AUTHORS, 100, _quotes_are_right, How(queries=True, start="/"),
    ),
    "postgresql": Job(
        "postgresql",
        Task("docs", "doc_page", ("url", "title"), spider="spiders/docs.py"),
        1169, 1169, _manual_is_right,
    ),
}  # fmt: skip


def served_as(job: Job, folder: Path) -> How:
    """How a site is served: its redirects are in a file beside its pages."""
    file = folder / "_redirects.json"
    if not file.is_file():
        return job.how
    moved = {path: to for path, (to, _) in json.loads(file.read_text()).items()}
    return How(queries=job.how.queries, start=job.how.start, moved=moved)


def lane(job: Job, contender: Contender, server: Server, first: list[Items]) -> Lane:
    """`first` is shared by the lanes of a job: what the first crawl found, which all others must find too."""

    def check(items: Items) -> None:
        if not first:
            if len(items) != job.items or not job.right(items, _expected(job.site)):
                raise BenchmarkError(
                    f"{contender.name}: what it found of {job.site} is not what expected.json says"
                )
            first.append(items)

    def prove(folder: Path, server: Server) -> str:
        return promises(folder / "ours.db", job.pages, job.items, job.task.table, server)

    proof = prove if isinstance(contender, Ours) else None
    # Scrapy does not remember its start requests: where a page links to the start, it fetches that a second time.
    twice = 1 if isinstance(contender, Scrapy) else 0
    return Lane(contender.name, contender, job.task, server, job.pages, lambda: first[0], proof, check, twice)


def _expected(site: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SITES / "expected.json").read_text())[site]
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sites",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sites", nargs="*", metavar="SITE", help=f"{', '.join(JOBS)}; default all")
    add("--site", metavar="DIR", help="the folder of the one site that is named")
    add("--rounds", type=int, default=3, metavar="N", help="pairs of crawls (default 3)")
    add("-c", "--concurrency", type=int, default=64, metavar="N", help="requests in flight (default 64)")
    add("--scrapy-log-level", default="DEBUG", metavar="LEVEL", help="Scrapy's own default is DEBUG")
    add("--json", metavar="OUT", help="keep every figure, with versions and machine")
    options = parser.parse_args()
    if unknown := set(options.sites) - set(JOBS):
        parser.error(f"no site {', '.join(sorted(unknown))}; there are {', '.join(JOBS)}")
    if options.site and len(options.sites) != 1:
        parser.error("--site goes with the name of one site")
    if options.rounds < 1 or options.concurrency < 1:
        parser.error("--rounds and --concurrency are 1 or more")
    return options


def main() -> int:
    """Exit code 0 when both found the same and all figures stand; 1 with one sentence otherwise."""
    options = _options()
    reports = {}
    try:
        contenders: list[Contender] = [Ours(), Scrapy(options.scrapy_log_level)]
        for name in options.sites or JOBS:
            job, first = JOBS[name].at(options.concurrency), list[Items]()
            folder = site_folder(options.site, job.site)
            with serving(folder, cores()[0], served_as(job, folder)) as server:
                print(f"\n{name}: {job.pages:,} pages, {job.items:,} items")
                lanes = [lane(job, one, server, first) for one in contenders]
                reports[name] = compare(lanes, options.rounds)
            print(table(reports[name]))
        keep(reports, options.json)
    except BenchmarkError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
