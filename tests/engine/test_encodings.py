"""Crawls of pages in other charsets: what is asked of the site, what is read, and what is said."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper import Page, Request, Spider
from scraper.cli.terminal.ending import ending
from scraper.core.urls import fingerprint_of_version
from scraper.errors import SettingsError
from scraper.events import Warned
from scraper.reports.explain import explain
from scraper.reports.runs import chosen_run
from scraper.settings import Settings
from scraper.testing import Answer, Simulation, Site, simulate

HTML = {"Content-Type": "text/html"}
CYRILLIC = (
    '<meta charset="windows-1251"><base href="/b?б"><a href="/s?q=привет#я">x</a><a href="/п?q=я">y</a>'
)
SENT = "%EF%F0%E8%E2%E5%F2"


def pages(body: str, charset: str, headers: dict[str, str] = HTML) -> Site:
    """A site of which every page has this body."""
    return Site(lambda request: Answer(body.encode(charset), headers=headers))


def asked(site: Site) -> set[str]:
    """The paths and queries the site was asked for."""
    return {hit.url.removeprefix("https://a.test") for hit in site.hits if "robots" not in hit.url}


class Following(Spider[dict[str, str]]):
    start_urls = ["https://a.test/"]
    rate = None

    async def parse(self, page: Page) -> Any:
        yield page.follow_all("a", self.end)
        yield page.follow("a", self.end)
        yield page.request("/r?q=привет", self.end)
        yield [Request(link, self.end) for link in page.links()]
        yield Request("https://a.test/own?q=я", self.end)
        await page.fetch("/f?q=привет")
        await page.fetch(Request("/g?q=привет"))
        await page.download("/d?q=привет", "d")
        yield {"markdown": page.markdown()}

    def end(self, page: Page) -> None:
        return None


def test_links_of_a_page_are_asked_for_in_its_encoding(tmp_path: Path) -> None:
    """Wherever a URL found on a page is joined, its query is written as the page is, its path in UTF-8 (W9)."""
    site = pages(CYRILLIC, "windows-1251")
    done = simulate(Following, site, db=tmp_path / "a.db", settings={"files": str(tmp_path / "files")})
    paths = {f"/{name}?q={SENT}" for name in "srfgd"}
    assert asked(site) == paths | {"/", "/%D0%BF?q=%FF", "/own?q=%D1%8F"}
    assert done.summary.exit_code == 0
    assert f"https://a.test/s?q={SENT}" in done.tables["following"][0]["markdown"]


@pytest.mark.parametrize(
    ("href", "charset", "sent"),
    [
        ("?q=中文", "gbk", "/?q=%D6%D0%CE%C4"),
        ("?q=日本", "euc-jp", "/?q=%C6%FC%CB%DC"),
        ("?q=日本", "shift_jis", "/?q=%93%FA%96%7B"),
        ("?q=é", "iso-8859-1", "/?q=%E9"),
        ("?q=привет", "koi8-r", "/?q=%D0%D2%C9%D7%C5%D4"),
        ("?q=&#8364;&#9731;", "windows-1251", "/?q=%88%26%239731%3B"),
        ("?q=привет", "utf-8", "/?q=%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82"),
        ("?q=привет", "utf-16", "/?q=%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82"),
    ],
)
def test_a_query_is_sent_as_browsers_send_it(href: str, charset: str, sent: str) -> None:
    """Characters the charset lacks as references, Unicode pages in UTF-8 (W9)."""
    site = pages(f'<a href="{href}">x</a>', charset, {"Content-Type": f"text/html; charset={charset}"})
    simulate(Following, site)
    assert sent in {path.replace("{", "%7B") for path in asked(site)}


@pytest.mark.parametrize("content_type", ["application/xml", "application/json; charset=windows-1251"])
def test_queries_of_data_are_utf_8(content_type: str) -> None:
    """A feed is no HTML document: its URLs are IRIs (W9)."""
    site = pages(
        "<?xml version='1.0' encoding='windows-1251'?><a/>", "windows-1251", {"Content-Type": content_type}
    )
    simulate(Following, site)
    assert "/r?q=%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82" in asked(site)


class Titles(Spider[dict[str, str]]):
    start_urls = ["https://a.test/"]
    rate = None

    def parse(self, page: Page) -> Any:
        yield {"title": page.text("title", default="")}
        yield page.follow_all("a", self.parse).options(encoding="koi8-r")


def told(site: Site, **options: Any) -> tuple[Simulation, list[str]]:
    """A crawl and what was said meanwhile."""
    said: list[str] = []
    note = [lambda event: said.append(event.message) if isinstance(event, Warned) else None]
    return simulate(Titles, site, observers=note, **options), said


def test_a_spider_and_a_request_say_how_a_page_is_read() -> None:
    """`encoding` counts more than what pages declare; that of a request more than that of the spider (W11)."""
    body = '<meta charset="utf-8"><title>да</title><a href="/1">x</a>'
    octets = {"/": body.encode("cp1251"), "/1": body.encode("koi8-r")}
    site = Site(lambda request: Answer(octets.get(request.url.path, b""), headers=HTML))
    done, said = told(site, settings={"encoding": "CP1251"})
    assert [row["title"] for row in done.tables["titles"]] == ["да", "да"]
    assert said == []


@pytest.mark.parametrize("value", ["hex", "", "utf-7", 5, b"utf-8"])
def test_an_encoding_is_a_charset_of_the_web(value: Any) -> None:
    """Python's other codecs are refused, by the setting and by requests (W11)."""
    with pytest.raises(SettingsError, match="a charset of the web"):
        Settings.of(("here", {"encoding": value}))
    with pytest.raises(ValueError, match="not a charset of the web"):
        Request("https://a.test/", encoding=value)


def test_pages_that_cannot_be_read_are_counted_and_said_once() -> None:
    """Once for each domain, with what to set; counted in the run, and one line at the end (W11)."""
    body = "<title>нет</title>" + "".join(f'<a href="/{n}">привет</a>' for n in range(3))
    site = pages(body, "cp1251", {"Content-Type": "text/html; charset=utf-8"})
    done, said = told(site)
    assert done.summary.counters["text.unreadable"] == 1
    assert said == [
        "a.test: pages cannot be read in full as utf-8 (21 characters of one); set encoding if it is another"
    ]
    assert "  charset   1 page not read in full; the setting encoding names it" in ending(done.summary)


def test_a_header_that_is_wrong_is_counted_and_said() -> None:
    """Where the document declares another charset, and can be read in it without a fault (W11)."""
    site = pages(
        '<meta charset="windows-1251"><title>я</title>',
        "cp1251",
        {"Content-Type": "text/html; charset=utf-8"},
    )
    done, said = told(site)
    assert done.summary.counters["text.wrong-header"] == 1
    assert "text.unreadable" not in done.summary.counters
    assert said == [
        "a.test: pages say utf-8 in the header, but are windows-1251, as their markup says; set encoding = 'windows-1251'"
    ]
    assert any("1 page in another charset than the header says" in line for line in ending(done.summary))


def test_an_emoji_is_a_host() -> None:
    """As a start, in a link and in a redirect; the page has an httpx response too (W16)."""

    class Snow(Spider[dict[str, Any]]):
        start_urls = ["https://☃.test/"]
        rate = None
        scope = "any"

        def parse(self, page: Page) -> Any:
            yield {"url": page.url, "status": page.response.status_code}
            yield page.follow_all("a")

    def answer(request: httpx.Request) -> Answer | str | None:
        if request.url.path == "/go":
            return Answer("", 301, {"Location": "https://xn--e28h.test/end"})
        return '<a href="https://i❤.test/go">x</a>' if request.url.path == "/" else "end"

    done = simulate(Snow, Site(answer))
    assert (done.summary.exit_code, done.summary.problems) == (0, [])
    assert {row["url"] for row in done.tables["snow"]} == {
        "https://xn--n3h.test/",
        "https://xn--e28h.test/end",
    }


# ------------------------------------------------------------------------------------------- identity (W8)

SPELLINGS = ["/%7Ea", "/~a", "/x%2fy", "/x%2Fy", "/x/y", "/?q=%d0%bf", "/?q=%D0%BF"]


class Spelled(Spider[dict[str, str]]):
    start_urls = ["https://a.test/"]
    rate = None

    def parse(self, page: Page) -> Any:
        if page.url == "https://a.test/":
            yield page.follow_all("a")
        yield {"url": page.url}


def spelled() -> Site:
    return Site(lambda request: "".join(f'<a href="{link}">x</a>' for link in SPELLINGS))


def test_a_page_is_fetched_once_however_its_url_is_spelled(tmp_path: Path) -> None:
    """Under the URL that was found first, as it was found; `explain` says why the other is the same (W8)."""
    site, db = spelled(), tmp_path / "a.db"
    simulate(Spelled, site, db=db)
    assert asked(site) == {"/", "/%7Ea", "/x%2fy", "/x/y", "/?q=%d0%bf"}
    with closing(sqlite3.connect(db)) as conn:
        found = explain(conn, chosen_run(conn, None), "https://a.test/~a", Settings(), "x", 0.0)
    assert (found.url, found.state) == ("https://a.test/%7Ea", "done")
    assert "percent-encodings spelled alike" in found.notes[0]


def as_in_version_1(db: Path) -> None:
    """Make the database what a run of the first identity would have left, its state included."""
    first = fingerprint_of_version(1)
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("UPDATE _runs SET identity_version = 1")
        for id_, url, before in conn.execute("SELECT id, url, fingerprint FROM _requests").fetchall():
            conn.execute("UPDATE _requests SET fingerprint = ? WHERE id = ?", (first(url), id_))
            conn.execute(
                "UPDATE _visits SET key = CAST(substr(key, 1, 8) || ? AS BLOB) WHERE substr(key, 9) = ?",
                (first(url), before),
            )
            for key, links in conn.execute("SELECT key, links FROM _visits").fetchall():
                conn.execute(
                    "UPDATE _visits SET links = ? WHERE key = ?", (links.replace(before, first(url)), key)
                )
        conn.commit()


def test_an_unfinished_run_keeps_its_identity(tmp_path: Path) -> None:
    """A run of the first identity finds its known URLs when it goes on: nothing is fetched twice (W8)."""
    site, db = spelled(), tmp_path / "a.db"
    simulate(Spelled, site, db=db, settings={"max_pages": 3})
    as_in_version_1(db)
    before = len(asked(site))
    with closing(sqlite3.connect(db)) as conn:
        conn.execute(
            "UPDATE _requests SET state = 0, ended = NULL, kind = NULL WHERE url = 'https://a.test/'"
        )
        conn.execute("UPDATE _queues SET ready_at = 0")
        conn.execute(
            "UPDATE _runs SET state = 'running', options = json_remove(options, '$.settings.max_pages')"
        )
        conn.commit()
    site.hits.clear()
    done = simulate(Spelled, site, db=db, resume="must")
    assert (done.summary.run, before) == (1, 3)
    fetched = [hit.url for hit in site.hits if "robots" not in hit.url]
    assert len(fetched) == len(set(fetched))
    with closing(sqlite3.connect(db)) as conn:
        (version,) = conn.execute("SELECT identity_version FROM _runs").fetchone()
        urls = [url for (url,) in conn.execute("SELECT url FROM _requests")]
    assert version == 1
    assert len(urls) == len(set(urls))
    assert {"https://a.test/~a", "https://a.test/x%2Fy"} <= set(urls)


def test_visits_of_the_first_identity_spare_a_run_of_the_second(tmp_path: Path) -> None:
    """What an earlier run visited is known by its new fingerprint, and so are its links, from run to run (W8)."""
    db = tmp_path / "a.db"
    simulate(Spelled, spelled(), db=db, settings={"revisit": "never"})
    as_in_version_1(db)
    for _ in range(3):
        site = spelled()
        done = simulate(Spelled, site, db=db, settings={"revisit": "never"})
        assert asked(site) == set()
        assert done.summary.counters["not-revisited"] == 5
        assert done.summary.counters["links"] == 4
