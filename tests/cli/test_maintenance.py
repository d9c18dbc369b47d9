"""Two runs compared, a bad one taken back, a database kept in order: `diff`, `undo`, `prune`, `backup`, `migrate`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper import Key, Page
from scraper.cli import main
from scraper.errors import QueryError, UsageError
from scraper.items import Items
from scraper.query import open_readonly
from scraper.reports.diff import Change, Pair, changes
from scraper.store.file.schema import prepare
from scraper.store.queue.runs import begin, end_run
from scraper.store.rows.history import item_tables
from scraper.store.rows.tables import ItemTables, Provenance
from scraper.store.rows.undo import undo
from tests.support.changing_shop import Changing, Shop


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *words: Any) -> tuple[int, str, str]:
        self._capfd.readouterr()
        before = sys.argv
        sys.argv = ["scraper", *map(str, words)]
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.argv = before
        out, err = self._capfd.readouterr()
        return int(code or 0), out, err


@pytest.fixture
def scraper(capfd: pytest.CaptureFixture[str]) -> Said:
    return Said(capfd)


def changed_shop(db: Path) -> Changing:
    """Crawled twice; between, ten prices, one title and three products changed or went."""
    shop = Changing()
    shop.crawl(db)
    for n in range(10, 20):
        shop.products[n] = (f"Chair {n}", f"{n}.75")
    shop.products[40] = ("Armchair 40", "40.50")
    del shop.products[5]  # its link leads to a 404
    shop.unlinked = {30}
    shop.products[50] = ("Chair 50", "99")
    shop.crawl(db)
    return shop


# ------------------------------------------------------------------------------------------- diff


def test_the_diff_says_exactly_what_changed(db: Path, scraper: Said) -> None:
    """Ten prices, one title, one more price, two products gone: these lines and no others, and exit code 1."""
    changed_shop(db)
    code, out, err = scraper("diff", db, "--table", "product")
    assert code == 1
    assert out.splitlines() == [
        "- product  sku=sku-05  name Chair 5, price 5.5",
        *(f"~ product  sku=sku-{n}  price {n}.5 → {n}.75" for n in range(10, 20)),
        "- product  sku=sku-30  name Chair 30, price 30.5",
        "~ product  sku=sku-40  name Chair 40 → Armchair 40",
        "~ product  sku=sku-50  price 50.5 → 99",
    ]
    assert err == "product: 2 vanished, 12 changed (run 1 → 2)\n"


def test_rows_without_a_key_are_compared_by_value(db: Path, scraper: Said) -> None:
    """The reviews of products that went are missing, each as often as it was there; the others are the same."""
    changed_shop(db)
    code, out, err = scraper("diff", db, "1", "2", "--table", "review")
    assert (code, err) == (1, "review: 4 vanished (run 1 → 2)\n")
    assert out.splitlines() == [
        "- review  sku sku-05, stars 1",
        "- review  sku sku-05, stars 3",
        "- review  sku sku-30, stars 1",
        "- review  sku sku-30, stars 3",
    ]


def test_a_diff_in_json(db: Path, scraper: Said) -> None:
    """One array, with each field before and after; an empty one when nothing differs."""
    shop = changed_shop(db)
    code, out, _ = scraper("diff", db, "--table", "product", "--json")
    found = json.loads(out)
    assert (code, len(found)) == (1, 14)
    assert found[0] == {
        "table": "product",
        "change": "vanished",
        "key": {"sku": "sku-05"},
        "row": {"sku": "sku-05", "name": "Chair 5", "price": 5.5, "note": None},
    }
    assert found[1]["fields"] == {"price": {"before": 10.5, "after": 10.75}}
    shop.crawl(db)
    assert scraper("diff", db, "--json") == (0, "[]\n", "nothing differs between run 2 and run 3\n")


def test_forty_percent_of_refusals_are_no_difference(db: Path, scraper: Said) -> None:
    """A run with 403s on forty percent of the pages calls nothing gone; the diff of it says why, and finds nothing."""
    shop = Changing()
    shop.crawl(db)
    shop.crawl(db)
    shop.statuses = {f"/p/{n}": 403 for n in range(60) if n % 5 in (0, 2)}
    made = shop.crawl(db, settings={"retries": 0})
    assert (made.summary.state, made.summary.gone) == ("finished", {})
    assert scraper("diff", db, "2", "3", "--table", "product") == (
        0,
        "",
        "! run 3 is not complete (finished: pages failed); what it did not see is unknown, not gone\n"
        "nothing differs between run 2 and run 3\n",
    )
    assert scraper("diff", db)[2] == "nothing differs between run 1 and run 2\n"


def test_a_row_that_came_back_appeared(db: Path, scraper: Said) -> None:
    """Between the runs around its absence a row is the same; from the one without it, it appeared."""
    shop = Changing()
    for unlinked in ({7}, set(), {7}):
        shop.unlinked = unlinked
        shop.crawl(db)
    assert [
        scraper("diff", db, *pair, "--table", "product")[2] for pair in (("1", "2"), ("2", "3"), ("1", "3"))
    ] == [
        "product: 1 appeared (run 1 → 2)\n",
        "product: 1 vanished (run 2 → 3)\n",
        "nothing differs between run 1 and run 3\n",
    ]


def test_runs_of_another_series_are_not_mixed_in(db: Path, scraper: Said) -> None:
    """What only a crawl of another series saw in between is not a difference of these two runs; what both saw is."""

    class Other(Shop):
        name = "other"
        start_urls = ("https://shop.test/p/58", "https://shop.test/p/59", "https://shop.test/p/77")
        parse = Shop.parse_product

    shop = Changing()
    shop.crawl(db)
    shop.products |= {n: (f"Other {n}", "1") for n in (58, 59, 77)}
    shop.crawl(db, Other)
    shop.unlinked = {58}
    shop.crawl(db)
    _, out, err = scraper("diff", db, "--table", "product")
    assert out == "~ product  sku=sku-59  name Chair 59 → Other 59, price 59.5 → 1\n"
    assert err == "product: 1 changed (run 1 → 3)\n"
    assert (
        scraper("diff", db, "1", "2", "--table", "product")[2]
        == "product: 1 appeared, 2 changed (run 1 → 2)\n"
    )


def test_a_diff_that_cannot_be_says_why(db: Path, scraper: Said) -> None:
    """One complete run, no run, one number, the wrong order, an unknown table: a sentence and exit code 2."""
    shop = Changing()
    shop.crawl(db)
    shop.statuses = {"/p/1": 500}
    shop.crawl(db, settings={"retries": 0})
    code, out, err = scraper("diff", db)
    assert (code, out) == (2, "")
    assert err == (
        "✗ there are no two complete runs of one series to compare"
        " (run 1 complete; run 2 finished (pages failed)). Compare two all the same: 1 2\n"
    )
    assert scraper("diff", db, "1")[:2] == (2, "")
    assert "no run 9; there are 1, 2" in scraper("diff", db, "1", "9")[2]
    assert "name the older run first: 1 2" in scraper("diff", db, "2", "1")[2]
    assert 'Did you mean "product"?' in scraper("diff", db, "1", "2", "--table", "produkt")[2]
    assert scraper("undo", db, "2")[0] == 0
    assert "run 2 is undone" in scraper("diff", db, "1", "2")[2]


class Runs:
    """A database with one keyed table, written run by run: {key: value}; complete runs mark what is gone."""

    def __init__(self) -> None:
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.conn)
        self.items = Items("s", [Row])

    def add(self, rows: dict[str, int], *, complete: bool = True) -> int:
        run = begin(self.conn, spider="s", target="", series="s", options={}, now=0.0).id
        made = [self.items.convert(Row(key, value), ord(key[0])) for key, value in rows.items()]
        self.conn.execute("INSERT OR IGNORE INTO _domains (id, name) VALUES (1, 'a.test')")
        request = self.conn.execute(
            "INSERT INTO _requests (run, domain, fingerprint, url, callback, state, ended) VALUES (?, 1, x'01', '', '', 1, ?)",
            (run, run * 1.0),
        ).lastrowid
        origin = Provenance("https://a.test/", run, f"1970-01-01T00:00:0{run}Z", int(request or 0), b"\1")
        assert not ItemTables().write(self.conn, made, origin).rejected
        end_run(self.conn, run, "complete" if complete else "finished", None, 0.0)
        return run

    def dump(self, *, seen: bool = True) -> list[tuple[Any, ...]]:
        """All rows and versions; with where each was `seen` last."""
        if not item_tables(self.conn):
            return []
        own = "*" if seen else "key, value, _first_run, _changed_run, _gone_run, _back_run"
        return [
            *self.conn.execute(f"SELECT {own} FROM row ORDER BY key"),
            *self.conn.execute(f"SELECT {own} FROM _row_history ORDER BY key, _until_run"),
        ]


@contextmanager
def recorded() -> Iterator[Runs]:
    runs = Runs()
    with closing(runs.conn):
        yield runs


Row = make_dataclass("Row", [("key", Annotated[str, Key]), ("value", int)])
contents = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)
crawls = st.lists(st.tuples(contents, st.booleans()), min_size=2, max_size=5)


def value_in(change: Change) -> tuple[int | None, int | None]:
    """The value of a row before and after a change; None where it was not there."""
    if change.fields is not None:
        value = change.fields["value"]
        return value.before, value.after
    assert change.row is not None
    value = change.row["value"]
    return (None, value) if change.change == "appeared" else (value, None)


@settings(max_examples=30)
@given(crawls, st.data())
def test_a_diff_is_the_difference_of_the_states(
    crawled: list[tuple[dict[str, int], bool]], data: st.DataObject
) -> None:
    """Between any two runs the diff is what a dictionary of the rows at their ends differs in."""
    states, state = [], {}
    with recorded() as runs:
        for rows, complete in crawled:
            runs.add(rows, complete=complete)
            state = dict(rows) if complete else {**state, **rows}
            states.append(state)
        old = data.draw(st.integers(1, len(states) - 1))
        new = data.draw(st.integers(old + 1, len(states)))
        before, after = states[old - 1], states[new - 1]
        expected = {
            key: (before.get(key), after.get(key))
            for key in before | after
            if before.get(key) != after.get(key)
        }
        found = {c.key["key"]: value_in(c) for c in changes(runs.conn, Pair(old, new))}
        assert found == expected


@settings(max_examples=30)
@given(crawls)
def test_undo_is_the_inverse_of_a_run(crawled: list[tuple[dict[str, int], bool]]) -> None:
    """Taken back one by one, the newest first, every run leaves rows and history as before it.

    So is where each row was seen last, unless an incomplete run was at its page and did not see it.
    """
    before = []
    with recorded() as runs:
        exact = all(complete for _, complete in crawled)
        for rows, complete in crawled:
            before.append(runs.dump(seen=exact))
            runs.add(rows, complete=complete)
        for run in range(len(crawled), 0, -1):
            undo(runs.conn, run, "db")
            assert runs.dump(seen=exact) == before[run - 1]


def test_a_million_rows_are_compared_with_flat_memory() -> None:
    """The short version of `benchmarks/rows.py`: twelve times the rows take no more memory."""
    peaks = []
    for count in (1_000, 12_000):
        with recorded() as runs:
            for run in (1, 2):
                runs.add({f"k{n}": n * run for n in range(count)})
            tracemalloc.start()
            assert sum(1 for _ in changes(runs.conn, Pair(1, 2))) == count - 1
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 100_000


# ------------------------------------------------------------------------------------------- undo


def values(db: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as conn:
        return [
            *conn.execute("SELECT * FROM product ORDER BY sku"),
            *conn.execute("SELECT * FROM review ORDER BY _request, _ordinal"),
            *conn.execute("SELECT * FROM _product_history"),
        ]


def test_undo_takes_a_bad_run_back(db: Path, scraper: Said) -> None:
    """Rows are as before the run, byte for byte where the run only saw them again; new and keyless ones are gone."""
    shop = Changing()
    shop.unlinked = {59}
    shop.crawl(db)
    before = values(db)
    shop.unlinked = {3}
    shop.products |= dict.fromkeys(range(10), ("?", "0"))
    shop.crawl(db)
    assert scraper("undo", db, "2") == (
        0,
        "",
        "product: 9 rows as before again, 1 row removed, 1 row not gone any more\n"
        "review: 118 rows removed\n"
        "run 2 is undone\n",
    )
    assert values(db) == before
    with closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT id, state FROM runs").fetchall() == [(1, "complete"), (2, "undone")]
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert scraper("undo", db, "2")[::2] == (2, "✗ run 2 is undone already\n")
    assert scraper("undo", db, "7")[::2] == (2, "✗ no run 7\n")


def test_undo_is_refused_while_later_runs_build_on_the_run(db: Path, scraper: Said) -> None:
    """The later run is named; undone first, the earlier one can be undone too."""
    shop = Changing()
    shop.crawl(db)
    before = values(db)
    shop.products[1] = ("?", "0")
    shop.crawl(db)
    shop.crawl(db)
    after = values(db)
    assert scraper("undo", db, "2")[::2] == (
        2,
        f"✗ later runs saw 1 rows of product that run 2 wrote; undo run 3 first: scraper undo {db} 3\n",
    )
    assert values(db) == after
    assert scraper("undo", db, "3")[0] == scraper("undo", db, "2")[0] == 0
    assert values(db) == before


def test_an_undone_run_is_not_resumed(db: Path, scraper: Said) -> None:
    """A stopped run that was taken back is over; the next crawl is a new one."""
    shop = Changing()

    class Stopping(Shop):
        def parse_product(self, page: Page) -> Any:
            from scraper import Stop

            raise Stop("for now")
            yield

    assert shop.crawl(db, Stopping).summary.state == "stopped"
    assert scraper("undo", db, "1")[0] == 0
    with pytest.raises(UsageError, match="nothing to resume"):
        shop.crawl(db, resume="must")
    assert shop.crawl(db, resume="continue").summary.run == 2


# ------------------------------------------------------------------------------------------- upkeep


def test_prune_removes_old_runs_and_gives_the_space_back(db: Path, scraper: Said) -> None:
    """Requests and sends of old runs go, the file shrinks, rows, history and runs stay, unless `--history`."""
    shop = Changing()
    for run in range(6):
        shop.products[0] = ("Chair 0", f"{run}.50")
        shop.crawl(db)
    size = db.stat().st_size
    code, _, err = scraper("prune", db, "--keep", "2")
    assert code == 0
    assert err.startswith("pruned 4 runs; ")
    assert db.stat().st_size < size
    with closing(sqlite3.connect(db)) as conn:
        ask = conn.execute
        assert ask("SELECT run, count(*) FROM _requests GROUP BY run").fetchall() == [(5, 63), (6, 63)]
        assert ask("SELECT count(*) FROM _sends WHERE run < 5").fetchone() == (0,)
        assert ask("SELECT count(*), sum(state = 'complete') FROM _runs").fetchone() == (6, 6)
        assert ask("SELECT count(*) FROM product_history").fetchone() == (60 + 5,)
        scraper("prune", db, "--keep", "2", "--history")
        assert ask("SELECT count(*) FROM product_history").fetchone() == (60 + 1,)
        assert ask("PRAGMA integrity_check").fetchone() == ("ok",)
    assert scraper("diff", db)[2].startswith("product: 1 changed (run 5 → 6)")


def test_ids_are_not_given_twice_after_pruning(db: Path, scraper: Said) -> None:
    """A row's `_request` never comes to mean another page, even if the newest run fetched nothing."""
    shop = Changing()
    shop.crawl(db)
    with closing(sqlite3.connect(db)) as conn:
        begin(conn, spider="shop", target="", series="x", options={}, now=0.0)
        conn.execute("UPDATE _runs SET state = 'finished' WHERE id = 2")
        conn.commit()
        newest = conn.execute("SELECT max(id) FROM _requests").fetchone()[0]
        scraper("prune", db, "--keep", "1")
        assert conn.execute("SELECT count(*), max(id) FROM _requests").fetchone() == (1, newest)


def test_a_backup_is_one_complete_file(db: Path, tmp_path: Path, scraper: Said) -> None:
    """The copy has everything that was committed, is readable by its owner only, and never overwrites."""
    Changing().crawl(db)
    out = tmp_path / "copy.db"
    live = sqlite3.connect(db)  # a writer that has not folded its log into the file
    live.execute("PRAGMA wal_autocheckpoint = 0")
    live.execute("UPDATE product SET name = 'Stool' WHERE sku = 'sku-01'")
    live.commit()
    live.execute("BEGIN IMMEDIATE")
    live.execute("DELETE FROM product")
    assert scraper("backup", db, out)[0] == 0
    live.rollback()
    assert values(out) == values(db)
    live.close()
    assert (oct(out.stat().st_mode & 0o777), sorted(p.name for p in tmp_path.glob("copy.db*"))) == (
        "0o600",
        ["copy.db"],
    )
    before = out.read_bytes()
    code, _, err = scraper("backup", db, out)
    assert (code, err) == (6, f"✗ {out} exists; a backup never overwrites: name another file\n")
    assert out.read_bytes() == before
    assert scraper("backup", db, tmp_path / "no" / "copy.db")[0] == 6
    with closing(open_readonly(str(out))) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


SPIDER = """
from dataclasses import dataclass
from typing import Annotated
from scraper import Key, Spider
@dataclass
class Product:
    sku: Annotated[str, Key]
    name: int | None
class Shop(Spider[Product]):
    start_urls = ["https://shop.test/"]
    def parse(self, page): ...
class Vague(Spider):
    start_urls = ["https://shop.test/"]
    def parse(self, page): ...
"""


def test_migrate_does_what_a_crawl_refuses(db: Path, tmp_path: Path, scraper: Said) -> None:
    """The command of the refusal, as it is printed, alters the table; what was lost is said."""
    Changing().crawl(db)
    spider = tmp_path / "shop_now.py"
    spider.write_text(SPIDER)
    code, _, err = scraper("crawl", f"{spider}:Shop", "--db", db)
    assert code == 6
    assert "column name of table product is TEXT" in err
    command = err.rpartition("accept the loss: scraper ")[2].split()
    assert scraper("migrate", db, f"{spider}:Shop")[0] == 6
    assert command[0] == "migrate"
    code, _, err = scraper("migrate", db, f"{spider}:Shop", "--accept-loss")
    assert code == 0
    assert "column name is INTEGER now (it was TEXT); 60 values were lost" in err
    assert "nothing to do: product" in scraper("migrate", db, f"{spider}:Shop")[2]
    assert scraper("migrate", db, f"{spider}:Vague")[0] == 2


HOLD = "import sys; from scraper.store.file.lock import CrawlLock; CrawlLock(sys.argv[1]).acquire('books', 'now'); print(1, flush=True); input()"


def test_upkeep_waits_for_no_crawl(db: Path, scraper: Said) -> None:
    """While a crawl has the database, undo, prune and migrate are refused at once with exit code 7; backup works."""
    Changing().crawl(db)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, db], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as crawl:
        assert crawl.stdout is not None
        assert crawl.stdout.readline() == b"1\n"
        assert scraper("undo", db, "1")[0] == scraper("prune", db)[0] == 7
        assert scraper("diff", db, "--json")[0] == 2
        assert scraper("backup", db, db.with_suffix(".copy"))[0] == 0
        crawl.communicate(b"\n")


def test_a_database_of_an_older_version_is_not_compared(tmp_path: Path) -> None:
    """Reading does not migrate, and says what does."""
    from tests.support import old_shop

    db = tmp_path / "old.db"
    old_shop.load(old_shop.FOLDER / "schema-1.sql", db)
    with (
        closing(open_readonly(str(db))) as conn,
        pytest.raises(QueryError, match="scraper prune, updates it"),
    ):
        list(changes(conn, Pair(1, 2)))


# ------------------------------------------------------------------------------------------- kept without a visit


class Sparing(Shop):
    revisit = "12h"

    def parse(self, page: Page) -> Any:
        yield page.follow_all("a.product", self.parse_product).options(revisit="never")
        yield page.follow("a.next").options(revisit="always")


def test_what_is_not_fetched_again_is_no_difference(db: Path, scraper: Said) -> None:
    """Rows of spared pages are in both runs, with or without a key; what no list names any more vanished."""
    shop = Changing()
    shop.crawl(db, Sparing)
    shop.products[1] = ("never seen", "0")
    shop.unlinked = {3}
    with closing(sqlite3.connect(db)) as conn:
        conn.execute(
            "UPDATE _visits SET visited = 0 WHERE request = (SELECT id FROM _requests WHERE url LIKE '%/list/1')"
        )
        conn.commit()
    made = shop.crawl(db, Sparing)
    assert (made.summary.state, made.summary.pages, made.summary.gone) == ("complete", 3, {"product": 1})
    code, out, _ = scraper("diff", db)
    assert code == 1
    assert out.splitlines() == [
        "- product  sku=sku-03  name Chair 3, price 3.5",
        "- review  sku sku-03, stars 3",
        "- review  sku sku-03, stars 4",
    ]


def test_undo_gives_kept_rows_back(db: Path, scraper: Said) -> None:
    """Rows that the bad run only kept are of the run before it again, those without a key too."""
    shop = Changing()
    shop.crawl(db, Sparing)
    before = values(db)
    with closing(sqlite3.connect(db)) as conn:
        conn.execute(
            "UPDATE _visits SET visited = 0 WHERE request = (SELECT id FROM _requests WHERE url LIKE '%/list/1')"
        )
        conn.commit()
    assert shop.crawl(db, Sparing).summary.pages == 3
    assert scraper("undo", db, "2") == (0, "", "run 2 is undone: it had changed nothing\n")
    assert values(db) == before
