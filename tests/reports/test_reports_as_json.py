"""Every report of one small crawl has a JSON form that carries the numbers its command prints."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any

import pytest
from click.testing import CliRunner

import scraper.reports
from scraper import Key, Page, Skip, Spider
from scraper.cli.group import cli
from scraper.query import Reading
from scraper.reports.diff import Pair, choose_runs, compare
from scraper.reports.explain import explain
from scraper.reports.failures import problems_of
from scraper.reports.findings import failures_of, findings_of
from scraper.reports.hosts import hosts_of
from scraper.reports.json_form import to_json
from scraper.reports.politeness import politeness_of
from scraper.reports.progress import progress_of
from scraper.reports.quality import emptied, shrunk
from scraper.reports.runs import chosen_run, runs_of
from scraper.reports.selectors import missed_selectors
from scraper.reports.status import status_of
from scraper.reports.stored_request import stored_request
from scraper.reports.summary import Summary
from scraper.reports.tables import tables_of
from scraper.settings import Settings
from scraper.testing import Answer, Site, simulate

URL = "https://a.test/"
NOW = 2e9


@dataclass
class Tea:
    name: Annotated[str, Key]
    grams: float | None


class Teas(Spider[Any]):
    """In its second run fewer teas have a weight, one has another, and one is missing."""

    start_urls = [URL]
    scope = "any"
    robots = False
    max_failed = 1.0
    rate = "5/s"
    run: int = 1

    def parse(self, page: Page) -> Any:
        for path in (*map(str, range(8)), "gone", "skip", "broken", "https://b.test/x"):
            yield page.request(path, self.tea)

    def tea(self, page: Page) -> Any:
        name = page.url.rpartition("/")[2]
        page.first("h7")
        if name == "skip":
            raise Skip("sold out")
        if name == "broken":
            float(page.text("p"))
        if self.run == 2 and name == "7":
            return
        yield Tea(name, None if self.run == 2 and name in "123" else float(self.run if name == "0" else 5))
        if name == "x":
            yield Tea("nan", float("nan"))


@dataclass(frozen=True)
class Crawled:
    path: str
    reading: Reading
    summary: Summary


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """Two runs over two hosts, each with a failure, an error, a skipped page and a rejected item."""
    path = tmp_path_factory.mktemp("reports") / "teas.db"
    site = Site(lambda r: Answer(status=404) if r.url.path == "/gone" else "<p>one</p>")
    for run in (1, 2):
        done = simulate(Teas, site, db=path, begins=1000.0 * run, arguments={"run": run})
    with Reading(str(path)) as reading:
        yield Crawled(str(path), reading, done.summary)


@dataclass(frozen=True)
class Case:
    """A report, and the command that prints it with the places of the numbers in the JSON form."""

    make: Callable[[Crawled], Any]
    command: str = ""
    paths: str = ""


def _explained(c: Crawled) -> Any:
    run = c.reading.read(chosen_run, 2)
    return c.reading.read(explain, run, f"{URL}gone", Settings(), "scraper", NOW)


def _compared(c: Crawled) -> Any:
    found: list[Any] = []
    return [c.reading.read(compare, Pair(1, 2), None, found.append), found]


#: By module of `scraper.reports`, which the last test compares them with.
CASES = {
    "runs": Case(
        lambda c: c.reading.read(runs_of), "runs DB", "0.pages 0.items 0.failed 0.queued 0.seconds 1.id"
    ),
    "status": Case(
        lambda c: c.reading.read(status_of, c.path, 2, NOW), "status DB", "run pages failed queued items.tea"
    ),
    "progress": Case(lambda c: c.reading.read(progress_of, 2), "status DB", "pages failed queued items.tea"),
    "hosts": Case(
        lambda c: c.reading.read(hosts_of, 2, NOW),
        "hosts DB",
        "0.sends 0.pages 0.smallest_gap 1.sends 1.domain",
    ),
    "politeness": Case(
        lambda c: c.reading.read(politeness_of, None),
        "politeness DB",
        "verdict.sends verdict.domains proofs.0.sends proofs.0.may_open",
    ),
    "failures": Case(lambda c: c.reading.read(problems_of, 2), "errors DB", "0.status 0.count 0.url 1.why"),
    "findings": Case(
        lambda c: [c.reading.read(failures_of, 2), findings_of(c.summary)],
        "errors DB",
        "0.failures.0.problem.status 0.failures.1.code 0.failures.1.hint 0.missed.0.call 0.missed.0.hits.pages",
    ),
    "selectors": Case(lambda c: c.reading.read(missed_selectors, 2), "errors DB", "0.pages 0.selector"),
    "explain": Case(
        _explained, f"explain DB {URL}gone", "state reason attempts.0.status attempts.0.bytes url"
    ),
    "tables": Case(lambda c: c.reading.read(tables_of), "tables DB", "tables.0.rows tables.0.table"),
    "diff": Case(
        _compared,
        "diff DB 1 2",
        "0.tables.tea.changed 1.0.key.name 1.0.fields.grams.before 1.0.fields.grams.after",
    ),
    "quality": Case(lambda c: [c.reading.read(emptied, 2), c.reading.read(shrunk, 2)]),
    "summary": Case(lambda c: c.summary),
    "stored_request": Case(lambda c: c.reading.read(stored_request, f"{URL}broken")),
}

#: Modules that hold no report of their own.
HELPERS = {"hints", "json_form", "robots_rules", "time_shares", "exit_codes", "summarizing", "stored_runs"}


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


@pytest.mark.parametrize("name", CASES)
def test_a_report_has_a_json_form_with_the_numbers_that_are_printed(crawled: Crawled, name: str) -> None:
    """json.dumps takes the form, it comes back unchanged, and the command prints what stands in it."""
    case = CASES[name]
    made = case.make(crawled)
    form = to_json(made)
    assert form
    assert json.loads(json.dumps(form, allow_nan=False)) == form
    if not case.command:
        return
    words = [crawled.path if word == "DB" else word for word in case.command.split()]
    printed = CliRunner().invoke(cli, words, standalone_mode=False).output
    shown = set(re.findall(r"[^\s,]+", printed))
    for path in case.paths.split():
        value = at(form, path)
        text = f"{value:g}" if isinstance(value, float) and value == int(value) else str(value)
        assert str(value) in printed or text in shown, (path, value, printed)


def test_a_change_is_written_with_what_it_has(crawled: Crawled) -> None:
    """A changed row has `fields`, one that came or went its `row`; neither has the other."""
    _, changes = to_json(_compared(crawled))
    assert {change["change"]: sorted(change) for change in changes} == {
        "changed": ["change", "fields", "key", "table"],
    }
    grams = {change["key"]["name"]: change["fields"]["grams"] for change in changes}
    assert grams["0"] == {"before": 1.0, "after": 2.0}
    assert grams["1"] == {"before": 5.0, "after": None}


def test_every_module_of_reports_is_in_the_table() -> None:
    """A new report gets a case here; its dataclasses are frozen."""
    names = {module.name for module in pkgutil.iter_modules(scraper.reports.__path__)}
    assert names == CASES.keys() | HELPERS
    for name in sorted(names):
        module = importlib.import_module(f"scraper.reports.{name}")
        public = [getattr(module, one) for one in module.__all__]
        for cls in public:
            if isinstance(cls, type) and is_dataclass(cls):
                assert cls.__dataclass_params__.frozen, cls  # type: ignore[attr-defined]  # set by dataclass()


def test_two_runs_that_cannot_be_compared_are_named(crawled: Crawled) -> None:
    """Neither run is complete, so the warning about the newer one is part of the data."""
    pair = crawled.reading.read(choose_runs, (1, 2))
    assert to_json(pair)["warning"].startswith("run 2 is not complete (finished: ")
