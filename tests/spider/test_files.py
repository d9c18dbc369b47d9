"""Downloads: streamed to disk, complete or not there, under names that cannot leave their folder."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scraper import Download, FetchError, Page, PageError, Spider, StoreError
from scraper.spider.files import BUFFER, DEVICES, LONGEST_NAME, Files, safe_name, served_name
from scraper.testing import Answer, Site, simulate
from tests.support.hosts import HTML, crawling, header_of, pages, path_of, redirect
from tests.support.peak_memory import highest, restart
from tests.support.raw_server import Client, ok, serve

NASTY = [
    "../../etc/passwd", "..\\..\\windows\\system32", "/etc/passwd", "C:\\boot.ini", "%2e%2e%2fetc%2fpasswd", "%252e%252e%252f",
    "a\0b", "CON", "con.txt", "NUL.tar.gz", "x" * 300 + ".pdf", ".", "..", "...", "", " ", ".bashrc", "a" * 299 + "é",
    "\u202etxt.exe", "a\r\nb", "-rf", "a/", "a//", "\ud800", "COM1", "lpt9.log", "a:b", "~", "file.", "a" * 10 + "." + "b" * 200,
]  # fmt: skip


class Gets(Spider[Any]):
    """Downloads every link of its page and stores what came of it."""

    async def parse(self, page: Page) -> Any:
        for link in page.css("a"):
            try:
                file = await page.download(link.attr("href"), link.attr("name", default=None))
            except (FetchError, PageError) as error:
                yield {"name": link.attr("href"), "size": None, "kind": getattr(error, "kind", "page")}
            else:
                yield {"name": file.name, "size": file.size, "kind": file.content_type}


# ------------------------------------------------------------------ names


@given(st.text(max_size=400))
@example("../x")
@example("%2e%2e/%2e%2e/x")
def test_sec_24_a_name_is_one_safe_component(text: str) -> None:
    """Whatever text it is made of: no separator, control, device, hidden or overlong name."""
    check_name(text)


@pytest.mark.parametrize("text", NASTY)
def test_sec_24_nasty_names_are_safe(text: str) -> None:
    """Traversals, absolute and quoted paths, NUL, devices, overlong and invisible ones."""
    check_name(text)


def check_name(text: str) -> None:
    name = safe_name(text)
    assert name
    assert name not in (".", "..")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name.isprintable()
    assert not name.startswith(".")
    assert name == name.strip(" .")
    assert len(name.encode()) <= LONGEST_NAME + 1
    assert name.partition(".")[0].lower() not in DEVICES
    assert safe_name(name) == name or "%" in name


@given(st.lists(st.sampled_from([*NASTY, "ok", "a.txt"]), min_size=1, max_size=5).map("/".join))
def test_sec_24_no_name_leaves_its_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """The real path of what is stored is inside the folder, for names with folders as well."""
    folder = tmp_path_factory.mktemp("files")
    try:
        path = Files(folder, inline=True).place(name)
    except PageError:
        return
    assert path.resolve().is_relative_to(folder.resolve())
    assert path.resolve() != folder.resolve()


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("https://a.test/x/report.pdf?v=1", "", "report-*.pdf"),
        ("https://a.test/", "", "file-*"),
        ("https://a.test/get", 'attachment; filename="my report.pdf"', "my report-*.pdf"),
        ("https://a.test/get", "attachment; filename=plain.csv", "plain-*.csv"),
        (
            "https://a.test/get",
            "attachment; filename=\"x.txt\"; filename*=UTF-8''na%C3%AFve.txt",
            "naïve-*.txt",
        ),
        ("https://a.test/get", 'attachment; filename="../../evil.sh"', "evil-*.sh"),
        ("https://a.test/get", 'attachment; filename="a\\"b.txt"', "a_b-*.txt"),
        ("https://a.test/get", "attachment; filename*=klingon''%41.txt", "get-*"),
        ("https://a.test/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "", "passwd-*"),
    ],
)
def test_a_served_name_is_that_of_the_server_with_a_mark_of_the_url(
    url: str, disposition: str, name: str
) -> None:
    """Content-Disposition counts before the URL; two URLs never share a name, one URL always has the same."""
    made = served_name(url, disposition)
    before, after = name.split("*")
    assert made.startswith(before)
    assert made.endswith(after)
    assert len(made) == len(name) - 1 + 8
    assert made == served_name(url, disposition) != served_name(url + "?", disposition)


def test_sec_24_symlinks_are_replaced_not_followed(tmp_path: Path) -> None:
    """A link in the place of a file goes, what it points to stays; a folder that leads out is refused."""
    files, outside = Files(tmp_path / "files", inline=True), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    files.folder.mkdir()
    (files.folder / "a.txt").symlink_to(outside / "precious")
    (files.folder / "out").symlink_to(outside)

    async def keep(name: str) -> Path:
        sink = files.sink()
        try:
            await sink.write(b"new")
            return await sink.keep(name)
        finally:
            sink.drop()

    path = asyncio.run(keep("a.txt"))
    assert (path.read_text(), path.is_symlink()) == ("new", False)
    assert (outside / "precious").read_text() == "precious"
    with pytest.raises(StoreError, match="leads out"):
        asyncio.run(keep("out/b.txt"))
    (files.folder / "d").mkdir()
    with pytest.raises(PageError, match="a folder is there"):
        asyncio.run(keep("d"))
    assert sorted(path.name for path in outside.iterdir()) == ["precious"]
    assert not list(files.folder.glob(".part-*"))


# ------------------------------------------------------------------ bodies


def links(*pairs: tuple[str, str | None]) -> bytes:
    made = (f'<a href="{url}"' + (f' name="{name}"' if name else "") + ">x</a>" for url, name in pairs)
    return ok("".join(made).encode(), HTML)


async def test_a_download_is_the_whole_body_decoded(tmp_path: Path) -> None:
    """Plain and compressed bodies, over redirects, under a chosen or a served name; types do not matter."""
    body = bytes(range(256)) * 8_192
    packed = gzip.compress(body)
    answers = {
        "/": links(("/plain.bin", None), ("/gz", "sub/packed.bin"), ("/moved", "moved.bin")),
        "/plain.bin": ok(body, "Content-Type: application/octet-stream"),
        "/gz": ok(packed, "Content-Encoding: gzip", "Content-Type: x/y"),
        "/moved": redirect("/plain.bin"),
    }
    async with serve(pages(answers)) as a, crawling(tmp_path) as crawl:
        summary = await crawl(Gets, start=[a.url(host="a.test")])
    assert summary.exit_code == 0
    stored = {
        path.relative_to(tmp_path / "files").as_posix(): path.read_bytes()
        for path in (tmp_path / "files").rglob("*.bin")
    }
    assert set(stored.values()) == {body}
    assert {"sub/packed.bin", "moved.bin"} < set(stored)
    assert len(stored) == 3


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    """Too large, cut off, not found, broken off: an error of its kind, and no file, not even a part of one."""
    announced = {"Content-Length": "99999999"}
    answers: dict[str, Answer | str] = {
        "https://a.test/": "".join(
            f"<a href=/{name}>x</a>" for name in ("large", "long", "gone", "bomb", "broken", "short")
        ),
        "https://a.test/large": Answer("x" * 2_000),
        "https://a.test/long": Answer("x", headers=announced),
        "https://a.test/bomb": Answer(gzip.compress(b"x" * 900_000), headers={"Content-Encoding": "gzip"}),
        "https://a.test/broken": Answer(error=httpx.ReadError("x")),
        "https://a.test/short": Answer(
            gzip.compress(os.urandom(99))[:-9], headers={"Content-Encoding": "gzip"}
        ),
    }
    settings = {"robots": False, "files": str(tmp_path), "max_file": "1k", "rate": "none"}
    done = simulate(Gets, Site(answers), start=["https://a.test/"], settings=settings)
    kinds = {row["name"]: row["kind"] for row in done.tables["gets"]}
    assert kinds == {
        "/large": "body-too-large", "/long": "body-too-large", "/gone": "http", "/bomb": "body-too-large",
        "/broken": "connection", "/short": "incomplete",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_download_may_take_long_but_not_stand_still(tmp_path: Path) -> None:
    """Ten minutes of steady bytes are good although the deadline is one; thirty silent seconds end it."""

    class Slow(httpx.AsyncByteStream):
        def __init__(self, pause: float) -> None:
            self.pause = pause

        async def __aiter__(self) -> Any:
            for _ in range(40):
                await asyncio.sleep(self.pause)
                yield b"x" * 1_000

        async def aclose(self) -> None:
            return

    class Streams(Site):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/":
                return await super().handle_async_request(request)
            await request.extensions["before_send"]()
            return httpx.Response(200, stream=Slow(15.0 if request.url.path == "/steady" else 31.0))

    site = Streams({"https://a.test/": "<a href=/steady>x</a><a href=/silent>x</a>"})
    settings = {"robots": False, "files": str(tmp_path), "callback_timeout": "1h"}
    done = simulate(Gets, site, start=["https://a.test/"], settings=settings)
    assert [(row["kind"], row["size"]) for row in done.tables["gets"]] == [("", 40_000), ("timeout", None)]
    assert done.seconds > 600
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_ends_the_crawl_resumable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What every further file would meet as well is a StoreError, which no callback's error handling hides."""
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if "files" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    site = Site({"https://a.test/": "<a href=/x>x</a>", "https://a.test/x": "x"})
    with pytest.raises(StoreError, match="No space left"):
        simulate(
            Gets,
            site,
            start=["https://a.test/"],
            settings={"robots": False, "files": str(tmp_path / "files")},
        )
    assert list((tmp_path / "files").iterdir()) == []


def test_a_download_obeys_robots_and_rate(tmp_path: Path) -> None:
    """A file that robots.txt forbids is not fetched; those it allows keep the gap."""
    site = Site(
        {
            "https://a.test/robots.txt": Answer(
                "User-agent: *\nDisallow: /private", headers={"Content-Type": "text/plain"}
            ),
            "https://a.test/": "".join(f"<a href={path}>x</a>" for path in ("/private/1", "/1", "/2", "/3")),
            **{f"https://a.test/{n}": "x" for n in range(1, 4)},
        }
    )
    done = simulate(Gets, site, start=["https://a.test/"], settings={"rate": "1/s", "files": str(tmp_path)})
    assert done.tables["gets"][0]["kind"] == "robots"
    times = sorted(hit.at for hit in done.hits)
    assert len(times) == 5
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(times))


# ------------------------------------------------------------------ memory


def endless(size: int) -> Any:
    """A server of files of this many octets, in pieces."""
    piece = bytes(1 << 16)

    async def handler(client: Client) -> None:
        while request := await client.request():
            if path_of(request) == "/":
                await client.send(links(*[(f"/f{n}", None) for n in range(8)]))
                continue
            await client.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            for _ in range(size // len(piece)):
                if not await client.send(piece):
                    return

    return handler


class AtOnce(Spider[Any]):
    """Downloads all links of its page at the same time."""

    concurrency = 8

    async def parse(self, page: Page) -> Any:
        files: list[Download] = await asyncio.gather(
            *(page.download(link.attr("href")) for link in page.css("a"))
        )
        for file in files:
            yield {"size": file.size}


async def test_sec_23_a_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    """Eight files at once hold no more than their buffers: far less than the files."""
    size = 8 << 20
    async with serve(endless(size)) as a, crawling(tmp_path) as crawl:
        tracemalloc.start()
        try:
            await crawl(AtOnce, start=[a.url(host="a.test")], settings={"max_body": "1k"})
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sorted(path.stat().st_size for path in (tmp_path / "files").iterdir()) == [size] * 8
    assert peak < 8 * (3 * BUFFER) < 8 * size // 2


@pytest.mark.soak
async def test_sec_23_eight_files_of_200_mb_at_once(tmp_path: Path) -> None:
    """8 × 200 MB at once grow the process by less than 50 MB."""
    size = 200 << 20
    async with serve(endless(size)) as a, crawling(tmp_path) as crawl:
        before = restart()
        summary = await crawl(AtOnce, start=[a.url(host="a.test")])
        grown = highest() - before
    assert summary.exit_code == 0
    for path in (tmp_path / "files").iterdir():
        assert path.stat().st_size == size
        path.unlink()
    assert grown < 50 << 10, f"{grown} KiB"


async def test_credentials_and_cookies_are_those_of_the_origin(tmp_path: Path) -> None:
    """A download is a request like any other: it is logged in where pages are."""
    answers = {"/": ok(b'<a href="/f">x</a>', HTML, "Set-Cookie: sid=1; Path=/"), "/f": ok(b"x")}
    async with serve(pages(answers)) as a, crawling(tmp_path) as crawl:
        await crawl(Gets, start=[a.url(host="a.test")])
    assert [header_of(request, "cookie") for request in a.requests] == [None, "sid=1"]
