"""The time a database counts in (attack T4): one offset for a boot, whatever the wall clock says meanwhile."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper import store
from scraper.core.clock import Clock, StoredTime
from scraper.core.machine_time import Machine, boot_of_linux, this_machine
from scraper.core.models import Budget, NewRun, Options, QueuedRequest
from scraper.reports.explain import explain
from scraper.reports.hosts import hosts_of
from scraper.reports.status import status_of
from scraper.settings import Settings
from scraper.store.file.schema import prepare
from scraper.store.file.stored_time import anchor, joined_offset, note_seen, read_time
from scraper.store.file.writer import connect
from scraper.store.queue.runs import run_of
from tests.support import old_shop

NOW = 1_767_225_600.0
HOUR = 3600.0


@dataclass
class Box:
    """A machine in one of its boots; `seconds` is what its own clock shows."""

    boot: str | None = "boot 1"
    seconds: float = 100.0

    @property
    def machine(self) -> Machine:
        return Machine(lambda: self.seconds, self.boot)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(connect(str(path))) as conn:
        prepare(conn, NOW)
    return path


@pytest.fixture
def conn(db: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(str(db))) as opened:
        yield opened


def row(conn: sqlite3.Connection) -> tuple[str, float, float]:
    (found,) = conn.execute("SELECT boot, offset, seen FROM _clock").fetchall()
    return found


# ------------------------------------------------------------------------------------------- the offset of a boot


def test_the_first_opening_of_a_boot_takes_the_wall_clock(conn: sqlite3.Connection) -> None:
    """A new database counts from the wall clock on, by the machine's seconds."""
    assert anchor(conn, Box().machine, NOW) == NOW - 100
    assert row(conn) == ("boot 1", NOW - 100, NOW)


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_later_opening_does_not_look_at_the_wall_clock(conn: sqlite3.Connection, shift: float) -> None:
    """Within a boot the offset stays, however the wall clock was set."""
    box = Box()
    first = anchor(conn, box.machine, NOW)
    box.seconds += 50
    assert anchor(conn, box.machine, NOW + 50 + shift) == first
    assert row(conn) == ("boot 1", first, NOW + 50)


@pytest.mark.parametrize(("wall", "time"), [(NOW + 500, NOW + 500), (NOW - HOUR, NOW + 60)])
def test_another_boot_never_begins_before_what_was_seen(
    conn: sqlite3.Connection, wall: float, time: float
) -> None:
    """After a reboot the time goes on from the wall clock's, or from where it had come to if that is later."""
    anchor(conn, Box().machine, NOW)
    note_seen(conn, NOW + 60)
    assert anchor(conn, Box("boot 2", 3.0).machine, wall) == time - 3
    assert row(conn) == ("boot 2", time - 3, time)


def test_what_a_dead_crawl_has_stored_was_seen(conn: sqlite3.Connection) -> None:
    """A crawl that died between two heartbeats has sent later than it noted: the next boot begins after that."""
    anchor(conn, Box().machine, NOW)
    conn.execute(
        "INSERT INTO _sends (run, request, domain, kind, sent, ended, bytes) VALUES (1, 1, 1, 'page', ?, ?, 0)",
        (NOW + 7, NOW + 8),
    )
    assert anchor(conn, Box("boot 2", 0.0).machine, NOW - HOUR) == NOW + 8


def test_a_file_that_goes_to_another_machine_and_back(conn: sqlite3.Connection) -> None:
    """A copied database has the boot of another machine: its time goes on there, and goes on when it comes back."""
    anchor(conn, Box("here", 1000.0).machine, NOW)
    assert anchor(conn, Box("there", 5.0).machine, NOW + 60) == NOW + 60 - 5
    note_seen(conn, NOW + 90)
    assert anchor(conn, Box("here", 1070.0).machine, NOW + 70) == NOW + 90 - 1070


def test_a_machine_that_was_put_back_to_a_snapshot(conn: sqlite3.Connection) -> None:
    """The same boot whose clock is behind what was seen: a new offset, for the time does not go back."""
    anchor(conn, Box(seconds=1000.0).machine, NOW)
    note_seen(conn, NOW + 500)
    assert anchor(conn, Box(seconds=1010.0).machine, NOW + 800) == NOW + 800 - 1010


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_boot_that_cannot_be_told(conn: sqlite3.Connection, shift: float) -> None:
    """Where the boot cannot be read every crawl counts as one, and its workers take what it has stored."""
    box = Box(None)
    first = anchor(conn, box.machine, NOW)
    assert joined_offset(conn, box.machine, NOW + shift) == first
    box.seconds = 4.0
    again = anchor(conn, box.machine, NOW + 10 + shift)
    assert again == max(NOW + 10 + shift, NOW) - 4
    assert joined_offset(conn, box.machine, NOW) == again
    assert row(conn)[0] == ""


def test_a_worker_takes_the_offset_of_its_crawl(conn: sqlite3.Connection) -> None:
    """Joining looks at no wall clock; where no crawl has stored an offset it is found as a crawl does."""
    assert joined_offset(conn, Box().machine, NOW) == NOW - 100
    assert joined_offset(conn, Box(seconds=101).machine, NOW + HOUR) == NOW - 100


def test_two_that_open_at_once_agree(db: Path) -> None:
    """Processes that open a database at the same moment, under different wall clocks, count the same time."""
    found: list[float] = []
    ready = threading.Barrier(4)

    def open_it(wall: float) -> None:
        with closing(connect(str(db))) as conn:
            ready.wait()
            conn.execute("BEGIN IMMEDIATE")
            found.append(joined_offset(conn, Box().machine, wall))
            conn.execute("COMMIT")

    threads = [threading.Thread(target=open_it, args=(NOW + n * HOUR,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


# ------------------------------------------------------------------------------------------- through the ledger


async def test_a_ledger_sets_the_clock_of_its_crawl(db: Path) -> None:
    """Time comes from the ledger: all that open it in one boot have one `unix`, whatever their wall clocks say."""
    box = Box()
    ledger = await store.open(str(db), holder="books", now=NOW, inline=True)
    one, two = (
        Clock(wall=lambda: NOW, machine=box.machine),
        Clock(wall=lambda: NOW + HOUR, machine=box.machine),
    )
    await ledger.anchor(one)
    mate = await store.join(str(db), now=NOW, inline=True)
    await mate.anchor(two)
    assert (one.unix(), two.unix(), two.wall()) == (NOW, NOW, NOW + HOUR)
    await mate.close()
    await ledger.close()


async def test_the_heartbeat_notes_how_far_the_time_has_come(db: Path) -> None:
    """`seen` moves with the extension of leases, and never back."""
    ledger = await store.open(str(db), holder="books", now=NOW, inline=True)
    await ledger.anchor(Clock(wall=lambda: NOW, machine=Box().machine))
    run = await ledger.begin(NewRun("books", "books.py", "books", {}), [], now=NOW)
    frontier = ledger.frontier(run.id, Budget())
    for now, seen in ((NOW + 10, NOW + 10), (NOW + 5, NOW + 10)):
        await frontier.extend([], lease=30.0, now=now)
        with closing(sqlite3.connect(db)) as conn:
            assert row(conn)[2] == seen
    await ledger.close()


# ------------------------------------------------------------------------------------------- who only reads


def test_a_reader_counts_as_the_crawl_does(conn: sqlite3.Connection) -> None:
    """In the crawl's boot a reader has its time, beside the wall clock as it is now."""
    box = Box()
    anchor(conn, box.machine, NOW)
    box.seconds += 30
    assert read_time(conn, NOW + HOUR, box.machine) == StoredTime(NOW + 30, NOW + HOUR)


@pytest.mark.parametrize("box", [Box("boot 2"), Box(None), Box(seconds=1.0)])
def test_a_reader_in_another_boot_takes_the_wall_clock_or_what_was_seen(
    conn: sqlite3.Connection, box: Box
) -> None:
    """A database of another boot, machine or snapshot is read by the wall clock, never before what was seen."""
    anchor(conn, Box().machine, NOW)
    before = row(conn)
    assert read_time(conn, NOW + HOUR, box.machine) == StoredTime(NOW + HOUR, NOW + HOUR)
    assert read_time(conn, NOW - HOUR, box.machine) == StoredTime(NOW, NOW - HOUR)
    assert row(conn) == before


def test_an_older_database_is_read_by_the_wall_clock(tmp_path: Path) -> None:
    """A database without the table has the wall clock's time; so has one that no crawl has opened since it got it."""
    db = tmp_path / "old.db"
    old_shop.load(old_shop.FOLDER / "schema-8.sql", db)
    with closing(connect(str(db))) as conn:
        assert read_time(conn, NOW, Box().machine) == StoredTime(NOW, NOW)
        prepare(conn, NOW)
        assert read_time(conn, NOW, Box().machine) == StoredTime(NOW, NOW)


def test_a_time_is_shown_on_the_wall_clock() -> None:
    """What is waited for is shown as the person's clock will show it; less than a second of difference is none."""
    assert StoredTime(NOW, NOW + HOUR).shown(NOW + 60) == NOW + HOUR + 60
    assert StoredTime(NOW, NOW + 0.5).shown(NOW + 60) == NOW + 60


async def test_reports_tell_waits_by_the_time_of_the_crawl(tmp_path: Path) -> None:
    """The clock set forth by an hour since the crawl began: a hold that ends in a minute ends in a minute for a reader."""
    db, wall = tmp_path / "a.db", time.time()
    ledger, clock = (
        await store.open(str(db), holder="books", now=wall, inline=True),
        Clock(wall=lambda: wall - HOUR),
    )
    await ledger.anchor(clock)
    run = await ledger.begin(NewRun("books", "books.py", "books", {}), [], now=wall)
    frontier = ledger.frontier(run.id, Budget())
    options = Options(callback="parse")
    request = QueuedRequest("https://a.test/", b"1" * 16, "a.test", options, not_before=clock.unix() + 60)
    await frontier.add([request], now=clock.unix())
    with closing(sqlite3.connect(db)) as conn:
        (host,) = hosts_of(conn, run.id, wall)
        status = status_of(conn, str(db), run.id, wall)
        told = explain(conn, run_of(conn, run.id), "https://a.test/", Settings(), "scraper", wall)
    await ledger.close()
    assert host.state == "waiting"
    assert host.until == pytest.approx(wall + 60, abs=30)
    assert status.waiting[0].until == pytest.approx(wall + 60, abs=30)
    assert "not before" in told.reason


# ------------------------------------------------------------------------------------------- which boot this is


def test_this_machine_counts_seconds() -> None:
    """The machine's clock goes on, and the boot is the same each time it is asked."""
    machine = this_machine()
    assert machine.seconds() <= machine.seconds()
    assert this_machine() == machine


def test_the_boot_is_the_kernels_and_the_time_namespaces(tmp_path: Path) -> None:
    """The identity of a boot has both; a kernel without time namespaces has its own alone."""
    boot_id, namespace = tmp_path / "boot_id", tmp_path / "time"
    boot_id.write_text("5ca75e0d\n")
    assert boot_of_linux(str(boot_id), str(namespace)) == "5ca75e0d"
    namespace.touch()
    assert boot_of_linux(str(boot_id), str(namespace)) == f"5ca75e0d/{namespace.stat().st_ino}"


@pytest.mark.parametrize("text", [None, "", b"\xff\xfe"])
def test_a_boot_that_cannot_be_read_is_unknown(tmp_path: Path, text: str | bytes | None) -> None:
    """No such file, an empty one, or no text: the boot is not known."""
    path = tmp_path / "boot_id"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert boot_of_linux(str(path), "/proc/self/ns/time") is None
