"""Large pages: their callbacks run beside the loop, one at a time, and no call of theirs keeps other threads waiting."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT

from scraper import Crawl, FetchError, Page, Skip, Spider
from scraper.core.charsets import LONG, decode_text, multi_byte, text
from scraper.core.json_depth import DEEPEST
from scraper.engine import Parsing
from scraper.page.readers import json_text
from scraper.page.readers.json_text import read_json
from scraper.page.safety.trial_process import MOST
from tests.support.html_pages import page_of
from tests.support.raw_server import answering, ok, serve

LARGE = "<p>x</p>" * 20_000
ENDLESS = """
from scraper import Spider

class Endless(Spider[dict]):
    robots = False

    def parse(self, page):
        print("begun", flush=True)
        while True:
            pass
"""
#: Seconds that nothing on a page may keep the loop waiting.
LATE = 0.1
#: Seconds of CPU that 200,000 empty turns of a loop take on an idle core of the machine on which that bound was set.
EMPTY_LOOP = 0.0035


def _answer(request: httpx.Request) -> httpx.Response:
    kind, body = BODIES.get(request.url.path, ("text/html", "<p>small</p>"))
    return httpx.Response(200, headers={"content-type": kind}, content=body)


BODIES: dict[str, tuple[str, Any]] = {
    "/large": ("text/html", LARGE),
    "/links": ("text/html", "".join(f"<a href=/{i}>x</a>" for i in range(200_000))),
    "/siblings": ("text/html", "<ul>" + "<li>x" * 100_000),
    "/deep": ("text/html", "<div>" * 900 + "<p>x</p>" * 100),
    "/json": ("application/json", "[" + "[]," * 1_000_000 + "1]"),
    "/bytes": ("text/plain; charset=windows-1252", b"\x81" * (4 << 20)),
}


async def _crawl(spider: type[Spider[Any]], folder: Path, *paths: str) -> Any:
    settings = {"robots": False, "rate": None, "max_yield": 300_000, "max_pages": 20, "concurrency": 8}
    starts = [f"https://a.test{path}" for path in paths]
    transport = httpx.MockTransport(_answer)
    return await Crawl(
        spider, db=str(folder / "x.db"), start=starts, settings=settings, transport=transport
    ).run()


class Walks(Spider[dict]):
    """What authors write for pages as they are."""

    name = "walks"

    def parse(self, page: Page) -> Any:
        if page.url.endswith("/links"):
            yield {"n": len(page.links()) + len(page.attrs("a", "href"))}
            yield page.follow_all("a")
        elif page.url.endswith("/siblings"):
            found = page.css("li:nth-child(2)") + page.css("b ~ li") + page.css("li:nth-last-of-type(3)")
            yield {"n": len(found) + len(page.texts("li"))}
        elif page.url.endswith("/deep"):
            yield {"n": len(page.css("section div div div p"))}
        elif page.url.endswith("/json"):
            yield {"n": len(page.json())}
        elif page.url.endswith("/bytes"):
            yield {"n": len(page.source)}


async def _latest() -> float:
    """What this process computed at most, in seconds of CPU, before the loop had a turn again; until this is cancelled.

    Not by the clock on the wall: on a busy machine that shows what others compute.
    """
    late = 0.0
    while True:
        began = time.process_time()
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            return late
        late = max(late, time.process_time() - began)


def _slowness() -> float:
    """How many times as long the core takes now as when it is idle, by an empty loop."""
    began = time.process_time()
    for _ in range(200_000):
        pass
    return (time.process_time() - began) / EMPTY_LOOP


@pytest.mark.parametrize("path", ["/links", "/siblings", "/deep", "/json", "/bytes"])
async def test_sec_39_host_31_no_page_keeps_the_loop_waiting(path: str, tmp_path: Path) -> None:
    """Whatever a page holds and a plain callback does with it, the loop never waits for 100 ms of it.

    A core that others use as well is slower for all: the best of four tries counts, each by how slow the core was then.
    """
    tries: list[float] = []
    while len(tries) < 4 and min(tries, default=LATE) >= LATE:
        slowness = _slowness()
        ticking = asyncio.create_task(_latest())
        (folder := tmp_path / str(len(tries))).mkdir()
        summary = await _crawl(Walks, folder, path)
        assert sum(n for name, n in summary.counters.items() if name.startswith("item.")) == 1
        ticking.cancel()
        tries.append(await ticking / max(1.0, slowness, _slowness()))
    assert min(tries) < LATE, tries


async def test_sec_39_only_large_pages_and_plain_callbacks_run_in_the_thread(tmp_path: Path) -> None:
    """A small page, and an async callback, stay in the loop's thread; context variables are there in both."""
    threads: dict[str, str] = {}
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    class Tells(Spider[dict]):
        name = "tells"

        def parse(self, page: Page) -> Any:
            threads[page.url] = threading.current_thread().name
            assert variable.get() == "set"
            if page.url.endswith("/large"):
                yield page.request("/small")
                yield page.request("/large?again", self.later)
                yield page.request("/large?coroutine", self.gives)

        async def later(self, page: Page) -> Any:
            threads[page.url] = threading.current_thread().name

        def gives(self, page: Page) -> Any:
            threads[page.url] = threading.current_thread().name
            return self.later(page)

    await _crawl(Tells, tmp_path, "/large")
    here = threading.current_thread().name
    assert threads["https://a.test/large"].startswith("scraper-callback")
    assert threads["https://a.test/small"] == here
    assert threads["https://a.test/large?again"] == here
    assert threads["https://a.test/large?coroutine"] == here


async def test_sec_39_one_callback_at_a_time(tmp_path: Path) -> None:
    """While a callback runs in the thread no other does, nor a step of one that awaits: a counter needs no lock."""

    class Counts(Spider[dict]):
        name = "counts"
        inside = 0
        overlaps = 0
        steps = 0

        def parse(self, page: Page) -> Any:
            if page.url.endswith("/large"):
                yield [page.request(f"/large?{i}", self.slow) for i in range(4)]
                yield [page.request(f"/{i}", self.quick) for i in range(4)]
                yield [page.request(f"/{i}?async", self.steps_along) for i in range(4)]

        def _alone(self, turns: int) -> None:
            Counts.overlaps += Counts.inside
            Counts.inside += 1
            for _ in range(turns):
                sum(range(1_000))
            Counts.inside -= 1
            Counts.steps += 1

        def slow(self, page: Page) -> None:
            self._alone(2_000)

        def quick(self, page: Page) -> None:
            self._alone(1)

        async def steps_along(self, page: Page) -> None:
            for _ in range(20):
                self._alone(1)
                await asyncio.sleep(0.002)

    await _crawl(Counts, tmp_path, "/large")
    assert Counts.steps == 4 + 4 + 4 * 20
    assert Counts.overlaps == 0


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (ValueError("x"), "failed.callback"),
        (Skip("no"), "skipped"),
        (StopIteration(), "failed.callback"),
    ],
    ids=["error", "verdict", "stop iteration"],
)
async def test_sec_39_what_is_raised_in_the_thread_ends_the_visit_as_ever(
    raised: Exception, outcome: str, tmp_path: Path
) -> None:
    """Errors and verdicts have the outcome that they have on the loop, and garbage is looked for again."""

    class Raises(Spider[dict]):
        name = "raises"

        def parse(self, page: Page) -> None:
            assert not gc.isenabled()
            raise raised

    assert gc.isenabled()
    summary = await _crawl(Raises, tmp_path, "/large")
    assert summary.counters[outcome] == 1
    assert gc.isenabled()


async def test_sec_39_a_crawl_that_is_cancelled_does_not_wait_for_the_callback(tmp_path: Path) -> None:
    """It may never return; what it still does is stored nowhere."""
    began, ended, go_on = threading.Event(), threading.Event(), threading.Event()

    class Lasts(Spider[dict]):
        name = "lasts"

        def parse(self, page: Page) -> None:
            began.set()
            go_on.wait(30)
            ended.set()

    crawl = asyncio.create_task(_crawl(Lasts, tmp_path, "/large"))
    assert await asyncio.to_thread(began.wait, 10)
    crawl.cancel()
    with pytest.raises(asyncio.CancelledError):
        await crawl
    assert not ended.is_set()
    assert gc.isenabled()
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_sec_39_a_second_ctrl_c_leaves_a_callback_that_never_returns(tmp_path: Path) -> None:
    """The process ends at once, though a thread of it is in an author's loop without end."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    async with serve(answering(ok(LARGE.encode(), "Content-Type: text/html"))) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scraper", "crawl", "endless.py", "--start", server.url("/"), cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            assert await asyncio.wait_for(process.stdout.readline(), 30) == b"begun\n"
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 20) == 130
        finally:
            if process.returncode is None:
                process.kill()


async def test_sec_39_a_crawl_ends_though_the_callback_of_a_large_page_never_returns(tmp_path: Path) -> None:
    """It is left behind with a word, and its page is queued for the resume."""
    begun, leave = threading.Event(), threading.Event()
    told: list[str] = []

    class Endless(Spider[Any]):
        robots = False

        def parse(self, page: Page) -> None:
            begun.set()
            leave.wait(30)

    async with serve(answering(ok(LARGE.encode(), "Content-Type: text/html"))) as server:
        crawl = Crawl(
            Endless, db=tmp_path / "a.db", start=[server.url("/")],
            observers=[lambda event: told.append(getattr(event, "message", ""))],
        )  # fmt: skip
        running = asyncio.create_task(crawl.run())
        assert await asyncio.to_thread(begun.wait, 20)
        crawl.stop("enough", 0.1)
        try:
            summary = await asyncio.wait_for(running, 15)
        finally:
            leave.set()
    assert (summary.pages, summary.queued) == (0, 1)
    assert any("never returned" in message for message in told)


async def test_sec_39_a_page_of_too_many_elements_is_refused() -> None:
    """More elements than one call of a selector can answer for in time: kind `parse`, saying how many are allowed."""
    parsing = Parsing()
    try:
        with pytest.raises(FetchError, match="more than 400,000 elements") as caught:
            await parsing.ready(page_of("<p>" * (MOST + 10)), "a.test")
        assert caught.value.kind == "parse"
        assert await parsing.ready(page_of("<p>" * 100_000), "a.test")
        assert not await parsing.ready(page_of("<p>" * 9_000), "a.test")
    finally:
        await parsing.aclose()


@pytest.mark.parametrize(
    "codec", ["utf-8", "windows-1252", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr", "utf-16le", "koi8-r", "x-mac-cyrillic"]
)  # fmt: skip
def test_host_36_long_texts_are_decoded_as_short_ones(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Piece by piece, with the same characters, also where a character or a fault lies across pieces."""
    chosen = random.Random(codec)
    octets = bytes(
        chosen.choice((0x1B, 0x24, 0x81, 0x30, chosen.randrange(256))) for _ in range(3 * LONG + 7)
    )
    read = decode_text(octets, f"text/html; charset={codec}")
    monkeypatch.setattr(text, "LONG", len(octets))
    monkeypatch.setattr(multi_byte, "PIECE", len(octets))
    assert decode_text(octets, f"text/html; charset={codec}") == read


def test_long_json_is_read_as_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same values, whichever scanner; and the same errors, also for what is nested too deep."""
    values = [{"a": [1, 2.5, None, True, "x\n\u00e4"], "b": {}, "c": []}] * 750
    text = json.dumps(values)
    deepest = "[" * DEEPEST + "]" * DEEPEST
    broken = [text[:-1], text + "x", "[" * 3_001, f"[{deepest}]", "\ufeff" + text]
    short = [_error_of(one) for one in broken]
    monkeypatch.setattr(json_text, "MANY", 200)
    assert read_json(text) == values
    assert read_json(text.encode("utf-16")) == values
    assert read_json(deepest) == json.loads(deepest)
    assert [_error_of(one) for one in broken] == short
    assert short[2:4] == [f"nested deeper than {DEEPEST} levels"] * 2


def _error_of(text: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as error:
        read_json(text)
    return str(error.value)
