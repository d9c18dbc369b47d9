"""Opening a crawl database: what is refused and how, who may have it, and what stays untouched."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from scraper.errors import DatabaseInUse, StoreError
from scraper.store.file.database import Database
from scraper.store.file.schema import APPLICATION_ID, VERSION
from scraper.store.queue.runs import begin

NOW = 1_767_225_600.0
NOBODY = 65_534


async def open_database(path: Path) -> Database:
    return await Database.open(str(path), holder="books, scraper 1.0", now=NOW)


async def refusal(path: Path) -> str:
    """The sentence with which a database is refused; nothing is left open then."""
    before = set(threading.enumerate())
    with pytest.raises(StoreError) as error:
        await open_database(path)
    left = {thread for thread in set(threading.enumerate()) - before if "connection_worker" in thread.name}
    assert not left
    return str(error.value)


async def fill(path: Path) -> None:
    """A database with one run in it."""
    database = await open_database(path)
    await database.writer.submit(
        lambda conn: begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
    )
    await database.close()


def ask(path: Path, question: str) -> object:
    """The first value of an answer, read as any other program would."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        return conn.execute(question).fetchone()[0]


def modes(folder: Path) -> dict[str, str]:
    """The files of a directory and who may read and write them."""
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in sorted(folder.iterdir())}


# ---------------------------------------------------------------------------------------- ours


async def test_a_new_database_says_whose_it_is(tmp_path: Path) -> None:
    """`file` and every SQLite tool can tell a crawl database and its schema version."""
    path = tmp_path / "crawl.db"
    await fill(path)
    assert ask(path, "PRAGMA application_id") == APPLICATION_ID
    assert ask(path, "PRAGMA user_version") == VERSION
    assert ask(path, "PRAGMA journal_mode") == "wal"


async def test_only_the_owner_can_read_a_database(tmp_path: Path) -> None:
    """The database, its log and its lock are readable by their owner only, whatever the umask."""
    path = tmp_path / "crawl.db"
    before = os.umask(0)
    try:
        database = await open_database(path)
        names = ("crawl.db", "crawl.db-lock", "crawl.db-shm", "crawl.db-wal")
        assert modes(tmp_path) == dict.fromkeys(names, "0o600")
        await database.close()
    finally:
        os.umask(before)


async def test_a_database_is_opened_again(tmp_path: Path) -> None:
    """What one crawl stored the next one finds."""
    path = tmp_path / "crawl.db"
    await fill(path)
    await fill(path)
    assert ask(path, "SELECT count(*) FROM _runs") == 2


async def test_readers_read_while_a_crawl_writes(tmp_path: Path) -> None:
    """Any program can read what is committed while a crawl holds the database, even in a transaction."""
    path = tmp_path / "crawl.db"
    database = await open_database(path)

    def write_and_be_watched(conn: sqlite3.Connection) -> object:
        begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
        return ask(path, "SELECT count(*) FROM runs")

    assert await database.writer.submit(write_and_be_watched) == 0
    assert ask(path, "SELECT count(*) FROM runs") == 1
    await database.close()


async def test_a_database_in_memory_needs_no_file(tmp_path: Path) -> None:
    """Simulations may keep everything in memory."""
    database = await Database.open(":memory:", holder="books", now=NOW, inline=True)
    assert await database.writer.read(lambda conn: conn.execute("SELECT count(*) FROM _runs").fetchone()) == (
        0,
    )
    await database.close()
    assert not modes(tmp_path)


# ---------------------------------------------------------------------------------------- refused


async def test_cr_07_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory is no database, and nothing is put beside it."""
    path = tmp_path / "folder"
    path.mkdir()
    assert await refusal(path) == f"{path} is a directory; name a file with --db"
    assert modes(tmp_path).keys() == {"folder"}


async def test_cr_07_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The directory that is missing is named, not made."""
    path = tmp_path / "missing" / "crawl.db"
    assert await refusal(path) == f"no directory {path.parent}; create it or choose another file with --db"


async def test_cr_07_what_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    """A file of another kind stays as it is, byte for byte."""
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 100)
    assert await refusal(path) == f"{path} is not a database; choose another file with --db"
    assert path.read_text() == "buy milk\n" * 100
    assert await refusal(path) == f"{path} is not a database; choose another file with --db"


async def test_cr_07_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    """Another program's database is not turned into one of ours, not even its journal mode."""
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE photos (name TEXT)")
        conn.commit()
    before = path.read_bytes()
    sentence = f"{path} is a database of another program; choose another file with --db"
    assert await refusal(path) == sentence
    assert path.read_bytes() == before


@pytest.mark.parametrize("mark", ["user_version = 7", "application_id = 7"])
async def test_cr_07_an_empty_database_of_another_program_is_refused(tmp_path: Path, mark: str) -> None:
    """A mark of another program is enough, even before it made its tables."""
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA {mark}")
    assert "another program" in await refusal(path)


async def test_cr_07_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """What a newer version wrote is left to it."""
    path = tmp_path / "crawl.db"
    await fill(path)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    assert await refusal(path) == (
        f"{path} was written by a newer version (schema {VERSION + 1}, this one knows {VERSION}); upgrade scraper"
    )
    assert path.read_bytes() == before


async def test_cr_07_a_damaged_database_is_refused(tmp_path: Path) -> None:
    """A database cut off in the middle is called damaged, in a sentence."""
    path = tmp_path / "crawl.db"
    await fill(path)
    os.truncate(path, 4096)
    assert await refusal(path) == f"{path} is damaged; restore a backup"


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A directory anybody may use, and, for root, nobody's rights in it: root may write everything."""
    with tempfile.TemporaryDirectory(prefix="scraper-") as folder:
        Path(folder).chmod(0o777)
        if os.geteuid() != 0:
            yield Path(folder)
            return
        try:
            os.setresuid(NOBODY, NOBODY, 0)
        except OSError as error:
            pytest.skip(f"root that may not become another: {error}")
        try:
            yield Path(folder)
        finally:
            os.setresuid(0, 0, 0)


async def test_cr_07_a_read_only_file_is_refused() -> None:
    """A file that may not be written is refused at once, not in the middle of a crawl."""
    with unprivileged() as folder:
        path = folder / "crawl.db"
        await fill(path)
        path.chmod(0o400)
        assert await refusal(path) == f"cannot write {path}: Permission denied; choose another file with --db"


async def test_cr_07_a_read_only_directory_is_refused() -> None:
    """SQLite needs to write beside its file; a directory that forbids it is refused at once."""
    with unprivileged() as folder:
        inner = folder / "data"
        inner.mkdir()
        inner.chmod(0o555)
        try:
            path = inner / "crawl.db"
            assert (
                await refusal(path)
                == f"cannot write {path}: Permission denied; choose another file with --db"
            )
        finally:
            inner.chmod(0o755)


# ---------------------------------------------------------------------------------------- one crawl at a time


HOLD = """
import asyncio, sys
from scraper.store.file.database import Database
from scraper.store.queue.runs import begin

async def main():
    database = await Database.open(sys.argv[1], holder="shoes, scraper 1.0", now=1767225600.0)
    await database.writer.submit(
        lambda conn: begin(conn, spider="shoes", target="shoes.py", series="shoes", options={}, now=0.0)
    )
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_cr_07_a_second_crawl_is_told_who_has_the_database(tmp_path: Path) -> None:
    """Two crawls never write one database; the second one learns who does, and since when."""
    path = tmp_path / "crawl.db"
    first = await open_database(path)
    with pytest.raises(DatabaseInUse) as error:
        await open_database(path)
    assert str(error.value) == (
        f"a crawl is already running on {path}: books, scraper 1.0 (process {os.getpid()}, since "
        "2026-01-01T00:00:00Z); wait for it, or use another --db"
    )
    await first.close()
    await fill(path)


async def test_cr_07_a_link_to_a_database_is_the_same_database(tmp_path: Path) -> None:
    """The lock belongs to the file, by whatever name it is opened."""
    path, link = tmp_path / "crawl.db", tmp_path / "latest.db"
    first = await open_database(path)
    link.symlink_to(path)
    with pytest.raises(DatabaseInUse, match=str(link)):
        await open_database(link)
    await first.close()
    await fill(link)


async def test_cr_07_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A crawl that was killed leaves its work and no lock."""
    path = tmp_path / "crawl.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(path), stdout=subprocess.PIPE, env={**os.environ}
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"open\n"
        with pytest.raises(DatabaseInUse, match=rf"shoes, scraper 1\.0 \(process {child.pid}, "):
            await open_database(path)
    finally:
        child.kill()
        await child.communicate()
    await fill(path)
    assert ask(path, "PRAGMA integrity_check") == "ok"
    assert ask(path, "SELECT group_concat(spider) FROM _runs") == "shoes,books"


def scribble(path: Path) -> None:
    path.write_text("garbage")


async def test_cr_07_a_lock_file_without_a_name_still_locks(tmp_path: Path) -> None:
    """What is written in the lock file is for people; the lock itself is the kernel's."""
    path = tmp_path / "crawl.db"
    first = await open_database(path)
    scribble(Path(f"{path}-lock"))
    with pytest.raises(DatabaseInUse, match="another process; wait for it"):
        await open_database(path)
    await first.close()


async def test_a_refused_second_crawl_does_not_loosen_the_hold_of_the_first(tmp_path: Path) -> None:
    """SQLite's own locks belong to the process: looking at the file must not drop them.

    If it did, the next program that closes the database would believe itself alone and remove the log.
    """
    path = tmp_path / "crawl.db"
    first = await open_database(path)
    with pytest.raises(DatabaseInUse):
        await open_database(path)
    await first.writer.submit(
        lambda conn: begin(conn, spider="books", target="books.py", series="books", options={}, now=NOW)
    )
    visit = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('SELECT * FROM _runs').fetchall(); c.close()"
    visitor = await asyncio.create_subprocess_exec(sys.executable, "-c", visit)
    assert await visitor.wait() == 0
    assert "crawl.db-wal" in modes(tmp_path)
    await first.close()
    assert ask(path, "SELECT count(*) FROM _runs") == 1
