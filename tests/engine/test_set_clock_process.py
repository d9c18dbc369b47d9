"""The wall clock is set while a real `scraper crawl` runs (attack T4): a library loaded before all others shifts it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.wire_rows.t04_set_clock import HOUR, Pages, SetClock, can_set_clocks, crawl, serving

WHY_NOT = can_set_clocks()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

COUNT = 25
#: Seconds that this machine may keep the server's thread waiting.
LATE = 0.05
#: Several workers do all that one process does, and more: the latter is tried by the soaks.
WORKERS = [
    pytest.param([], id="one process", marks=pytest.mark.soak),
    pytest.param(["--workers", "3"], id="workers"),
]


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving(Pages(count=COUNT)) as served:
        yield served


def whole(folder: Path, pages: Pages, again: int = 0) -> None:
    """Every page is stored once and was given once but for `again`; what was sent proves to be polite."""
    with closing(sqlite3.connect(folder / "data/clocked.db")) as conn:
        stored = conn.execute("SELECT count(*), count(DISTINCT url) FROM clocked").fetchone()
    assert stored == (COUNT + 1, COUNT + 1)
    assert pages.twice() <= again
    told = crawl(folder, pages, SetClock(folder), words=("politeness", "clocked"))
    assert told.code == 0, told.err


@pytest.mark.parametrize("words", WORKERS)
def test_a_crawl_under_a_set_clock_ends(tmp_path: Path, pages: Pages, words: list[str]) -> None:
    """T4: the wall clock set forth by an hour in the middle, and back: it ends, every page once, in its gap."""
    jumps = [(0.5, HOUR), (1.5, 0)]
    done = crawl(tmp_path, pages, SetClock(tmp_path), jumps, ("crawl", "clocked.py", *words))
    assert done.code == 0, done.err
    whole(tmp_path, pages)


@pytest.mark.parametrize("words", WORKERS)
def test_a_pending_retry_after_is_kept(tmp_path: Path, pages: Pages, words: list[str]) -> None:
    """T4: six seconds of Retry-After are six real seconds, for one process and for several."""
    pages.once["/3"] = (429, "6")
    done = crawl(tmp_path, pages, SetClock(tmp_path), [(1.0, HOUR)], ("crawl", "clocked.py", *words))
    assert done.code == 0, done.err
    refused = next(at for at, _, status in pages.asked if status == 429)
    after = min(at for at, _, _ in pages.asked if at > refused + 0.5)
    assert 6.0 - LATE <= after - refused < 12
    whole(tmp_path, pages)


@pytest.mark.parametrize("words", WORKERS)
def test_a_queued_retry_is_due_after_its_backoff(tmp_path: Path, pages: Pages, words: list[str]) -> None:
    """T4: set back by an hour, a retry that waits in the queue comes after its backoff, and not an hour later."""
    pages.once["/3"] = (500, "")
    done = crawl(tmp_path, pages, SetClock(tmp_path), [(0.6, -HOUR)], ("crawl", "clocked.py", *words))
    assert done.code == 0, done.err
    first, second = pages.at("/3")
    assert second - first >= 1 - LATE
    whole(tmp_path, pages)


@pytest.mark.parametrize(
    ("words", "shift"),
    [
        pytest.param([], -HOUR, id="one process, back", marks=pytest.mark.soak),
        pytest.param(["--workers", "3"], HOUR, id="workers, forth"),
        pytest.param([], HOUR, id="one process, forth", marks=pytest.mark.soak),
        pytest.param(["--workers", "3"], -HOUR, id="workers, back", marks=pytest.mark.soak),
    ],
)
def test_a_resume_under_a_set_clock(tmp_path: Path, pages: Pages, words: list[str], shift: int) -> None:
    """T4: killed under a pending Retry-After, resumed by a process whose clock is an hour off: the wait is kept."""
    pages.once["/3"] = (429, "8")
    clock = SetClock(tmp_path)
    dead = crawl(tmp_path, pages, clock, words=("crawl", "clocked.py", *words), killed_after=2.5)
    assert dead.code == -9
    clock.set(shift)
    given = len(pages.asked)
    done = crawl(tmp_path, pages, clock, words=("resume", "clocked", *words))
    assert done.code == 0, done.err
    refused = next(at for at, _, status in pages.asked if status == 429)
    assert 8.0 - LATE <= pages.asked[given][0] - refused < 14
    whole(tmp_path, pages, again=8)
