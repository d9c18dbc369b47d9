"""The benchmarks of speed: the site they make is the same everywhere, and a crawl that is measured is checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from benchmarks import shopsite
from benchmarks.chart import chart
from benchmarks.compare import Lane, compare, table
from benchmarks.contenders import Items, Task, environment
from benchmarks.promises import promises
from benchmarks.serving import PROJECT, BenchmarkError, Server, serving
from benchmarks.shopsite import FIELDS, Kind, items, make
from scraper import Key, Page, Spider
from scraper.demo.endless import product
from scraper.testing import Site, simulate


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shopsite, "WORK", tmp_path)
    return tmp_path


def test_a_page_of_the_shop_has_its_size_its_links_and_its_fields(work: Path) -> None:
    folder = make(Kind(100), "")
    pages = {path.stem: path.read_text() for path in (folder / "0").rglob("*.html")}
    assert len(pages) == 100
    sizes = [len(text.encode()) for text in pages.values()]
    assert 28_000 < min(sizes) <= max(sizes) < 32_000
    assert {len(re.findall("<a ", text)) for text in pages.values()} == {10}
    fields = product(7)
    assert all(str(value).replace("&", "&amp;") in pages["7"] for value in fields)
    assert "td.sku" not in pages["20"]


def test_every_page_of_the_shop_is_reached_and_each_item_is_there_once(work: Path) -> None:
    kind = Kind(500)
    folder = make(kind, "") / "0"
    seen, waiting = {"/index.html"}, ["/index.html"]
    while waiting:
        for link in re.findall('href="([^"]+)"', (folder / waiting.pop()[1:]).read_text()):
            if link not in seen:
                seen.add(link)
                waiting.append(link)
    assert len(seen) == kind.pages
    found = list(items(kind))
    assert len(found) == len({item[0] for item in found}) == kind.items == 475
    assert len(FIELDS) == len(found[0]) == 8


def test_the_shop_is_the_same_each_time_it_is_made(work: Path) -> None:
    one = (make(Kind(30), "") / "0/shop/0/29.html").read_bytes()
    (work / "shops/30-1/made.json").write_text("{}")
    assert (make(Kind(30), "") / "0/shop/0/29.html").read_bytes() == one


def test_hosts_link_to_one_another(work: Path) -> None:
    folder = make(Kind(60, 3), "http://127.0.0.{host}:8000", zipped=True)
    text = (folder / "1/shop/0/1.html").read_text()
    assert 'href="http://127.0.0.3:8000/shop/0/11.html"' in text
    assert (folder / "1/shop/0/1.html.gz").is_file()


def test_a_crawl_is_measured_checked_and_kept(tmp_path: Path) -> None:
    """The command a person types, ours alone, at a small shop: the server's log, the items and the promises are held."""
    out = tmp_path / "figures.json"
    words = ["--pages", "45", "--rounds", "2", "--only", "none", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.shop", *words],
        env=environment(), cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "every item knows its page and has a history" in done.stdout
    assert re.search(r"^\| scraper \| \d+\.\d+ \|", done.stdout, re.MULTILINE)
    kept = json.loads(out.read_text())
    assert kept["lanes"][0]["items"] == 42
    assert len(kept["rounds"]) == 2
    assert kept["versions"]["scraper"]
    assert kept["machine"]["cpu"]


@dataclass
class Thing:
    title: Annotated[str, Key]


class Shop(Spider[Thing]):
    start_urls = ("http://shop.test/",)

    def parse(self, page: Page):  # type: ignore[no-untyped-def]  # as an author writes it
        yield Thing(page.text("h1"))


def test_a_promise_that_was_off_fails_the_benchmark(tmp_path: Path) -> None:
    """What the database of a measured crawl must show: here with robots.txt obeyed, and with it switched off."""
    site = Site(lambda request: "<h1>One</h1>")
    server = Server("http://shop.test/", ("shop.test",), "none", tmp_path)
    simulate(Shop, site, db=tmp_path / "on.db")
    assert "robots.txt" in promises(tmp_path / "on.db", 1, 1, "thing", server)
    simulate(Shop, site, db=tmp_path / "off.db", settings={"robots": False})
    with pytest.raises(BenchmarkError, match=r"not shown that robots\.txt"):
        promises(tmp_path / "off.db", 1, 1, "thing", server)


def test_the_parts_are_measured_one_by_one() -> None:
    """`python -m benchmarks.parts`: every part gives a line with its cost."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.parts", "--rounds", "1", "--only", "join,items,turn,frontier"],
        env=environment(), cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^\| (\w+): [^|]+ \| ([\d.,]+) \| (\w+) \|", done.stdout, re.MULTILINE)
    assert {part for part, _, _ in found} == {"join", "items", "turn", "frontier"}
    assert all(float(cost.replace(",", "")) >= 0 for _, cost, _ in found)


RESULTS = sorted((PROJECT / "benchmarks" / "results").glob("shop*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_chart_is_what_its_record_says(path: Path) -> None:
    """The committed charts were drawn from the committed figures, which name versions and machine."""
    report = json.loads(path.read_text())
    assert path.with_suffix(".svg").read_text() == chart(report)
    assert report["versions"]["scraper"]
    assert report["machine"]["cpu"]
    for name, of in report["medians"].items():
        assert f">{of['cpu_ms_per_page']:.2f} · " in chart(report) or name in report["ratios"]


def test_there_is_a_record() -> None:
    assert RESULTS


class Pretender:
    """A crawler that found what it is given."""

    name = "pretender"

    def versions(self) -> dict[str, str]:
        return {"pretender": "1"}

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        fetch = (
            f"import urllib.request as u; [u.urlopen('{server.start}').read() for _ in range({self.times})]"
        )
        return [sys.executable, "-c", fetch]

    def settings(self, server: Server, folder: Path) -> dict[str, str]:
        return {}

    def items(self, task: Task, folder: Path) -> Items:
        return self.found

    def __init__(self, found: Items, times: int = 1) -> None:
        self.found = found
        self.times = times


def test_crawlers_that_fetch_or_find_something_else_fail_the_benchmark(tmp_path: Path) -> None:
    """The server's log and the items decide, not what a crawler says of itself; the ratio is to the first."""
    (tmp_path / "index.html").write_text("<h1>One</h1>")
    task = Task("shop", "product", ("sku",))
    right: Items = [("one",)]
    with serving(tmp_path, None) as server:

        def lane(name: str, pretender: Pretender) -> Lane:
            return Lane(name, pretender, task, server, 1, lambda: right)

        report = compare([lane("first", Pretender(right)), lane("second", Pretender(right))], 2)
        assert len(report["ratios"]["second"]) == 2
        assert re.search(
            r"^\| second \|.*\| \d+\.\d\d \| \d+\.\d\d \d+\.\d\d \|$", table(report), re.MULTILINE
        )
        with pytest.raises(BenchmarkError, match="fetched 1 pages with 2 requests, not 1 once each"):
            compare([lane("twice", Pretender(right, times=2))], 1)
        with pytest.raises(BenchmarkError, match=r"found \('two',\), where the site has \('one',\)"):
            compare([lane("wrong", Pretender([("two",)]))], 1)
        with pytest.raises(BenchmarkError, match="found 0 items, not 1"):
            compare([lane("nothing", Pretender([]))], 1)
