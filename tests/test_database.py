"""Opening databases: what is refused, what is locked, who may read."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.errors import DatabaseInUse, StoreError
from scraper.store.database import Database
from scraper.store.schema import APPLICATION_ID, VERSION


async def opened(path: Path) -> Database:
    return await Database.open(str(path), holder="a test", now=0.0)


async def open_and_close(path: Path) -> None:
    await (await opened(path)).close()


async def test_a_new_database_is_private_and_says_whose_it_is(tmp_path: Path) -> None:
    """Created 0600, in WAL mode, with our application id and schema version."""
    path = tmp_path / "a.db"
    await (await opened(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert conn.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    conn.close()


async def test_cr_07_what_is_no_database_of_ours_is_refused_and_untouched(tmp_path: Path) -> None:
    """CR-07: a directory, text, another program's database, a newer schema: a sentence each, nothing written."""
    (tmp_path / "dir.db").mkdir()
    (tmp_path / "text.db").write_text("text " * 500)
    other = sqlite3.connect(tmp_path / "other.db")
    other.executescript("CREATE TABLE precious (x); INSERT INTO precious VALUES (1);")
    other.close()
    await (await opened(tmp_path / "newer.db")).close()
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    for name, told in {
        "dir.db": "is a directory",
        "text.db": "is not a database",
        "other.db": "another program",
        "newer.db": "newer version",
        "no/where.db": "no directory",
    }.items():
        path = tmp_path / name
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreError, match=told):
            await opened(path)
        assert (path.read_bytes() if path.is_file() else None) == before


async def test_cr_07_a_second_crawl_is_refused_naming_the_first(tmp_path: Path) -> None:
    """While one holds the database another is refused at once, also within one process; then it is free again."""
    first = await opened(tmp_path / "a.db")
    with pytest.raises(DatabaseInUse, match=f"a test .process {os.getpid()}"):
        await opened(tmp_path / "a.db")
    await first.close()
    await (await opened(tmp_path / "a.db")).close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """After kill -9 of the holder the database opens at once: the kernel dropped its lock."""
    script = (
        "import asyncio, sys\nfrom scraper.store.database import Database\n"
        "async def main():\n    await Database.open(sys.argv[1], holder='x', now=0.0)\n"
        "    print('open', flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.db")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(DatabaseInUse):
        asyncio.run(open_and_close(tmp_path / "a.db"))
    holder.kill()
    holder.communicate()
    asyncio.run(open_and_close(tmp_path / "a.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    """A file that cannot be written: a sentence with the reason."""
    (tmp_path / "a.db").touch(mode=0o400)
    with pytest.raises(StoreError, match="cannot write"):
        await opened(tmp_path / "a.db")


async def test_anyone_may_read_meanwhile(tmp_path: Path) -> None:
    """A reader sees committed rows while the writer is open, and does not block it."""
    database = await opened(tmp_path / "a.db")
    await database.writer.submit(lambda conn: conn.execute("CREATE TABLE t (n)"))
    reader = sqlite3.connect(f"file:{tmp_path}/a.db?mode=ro", uri=True)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    await database.writer.submit(lambda conn: conn.execute("INSERT INTO t VALUES (1)"))
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    reader.close()
    await database.close()
