"""The crawlers that are compared: how each is made ready, called, and asked what it found.

Each runs a program of `peers/` in an environment of its own below `.work`, made when it is first needed. All do one job:
follow the links of a shop from its start page, take the same eight fields of every product, keep the items.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from benchmarks.serving import PROJECT, WORK, BenchmarkError, Server

__all__ = [
    "PEERS",
    "Bare",
    "Contender",
    "Crawlee",
    "Items",
    "Ours",
    "Plain",
    "Scrapling",
    "Scrapy",
    "Task",
    "environment",
]

PEERS = PROJECT / "benchmarks" / "peers"
Items = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Task:
    """What is crawled: the program of a peer is `<contender>_<name>.py`, the rows are in `table`, `fields` of them
    are compared. `decimals` are those that are compared as numbers, however a crawler stores them."""

    name: str
    table: str
    fields: tuple[str, ...]
    decimals: frozenset[str] = frozenset()
    #: Our spider, relative to the project; whether it must be told which hosts it may go to.
    spider: str = ""
    listed: bool = False
    concurrency: int = 64

    def comparable(self, rows: Sequence[Sequence[Any]]) -> Items:
        """The same value for the same fact, however it was stored, in one order."""
        return sorted(
            tuple(
                Decimal(str(value)) if name in self.decimals else _plain(value)
                for name, value in zip(self.fields, row, strict=True)
            )
            for row in rows
        )


class Contender(Protocol):
    """One crawler."""

    @property
    def name(self) -> str: ...

    def versions(self) -> dict[str, str]:
        """Name → version of what matters for its speed."""

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        """The command line of one crawl that keeps what it writes in `folder` (empty, made for it)."""

    def settings(self, server: Server, folder: Path) -> Mapping[str, str]:
        """Environment variables of its own."""

    def items(self, task: Task, folder: Path) -> Items:
        """What the crawl found, as (…task.fields) tuples in order."""


def environment() -> dict[str, str]:
    """The children's environment: byte code is cached, as it is after an installation."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(PROJECT), "PYTHONPYCACHEPREFIX": str(WORK / "pycache")}


class Ours:
    """This project, as it stands in the folder above, on the Python that runs the benchmark."""

    def __init__(
        self, *words: str, name: str = "scraper", rate: str = "none", module: str = "scraper"
    ) -> None:
        """`words` are further ones of `scraper crawl`; `module` is what runs the command line."""
        self.name = name
        self._words = words
        self._rate = rate
        self._module = module

    def versions(self) -> dict[str, str]:
        names = ("httpx", "httptools", "selectolax", "aiosqlite", "ada-url")
        if self._module.endswith("uvloop"):
            names = (*names, "uvloop")
        ours = _ask([sys.executable, "-c", "from scraper.version import VERSION; print(VERSION)"]).strip()
        return {"scraper": ours, **_installed(sys.executable, names), "sqlite": sqlite3.sqlite_version}

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        return [sys.executable, "-m", *self.arguments(task, server, folder)]

    def arguments(self, task: Task, server: Server, folder: Path) -> list[str]:
        """What comes behind `python -m`."""
        where = ["--start", server.start, "--db", str(folder / "ours.db")]
        hosts = ",".join(server.netlocs)
        limits = ["--rate", self._rate, "-c", str(task.concurrency), "--set", f"private_hosts={hosts}"]
        allowed = ["--set", f"allowed={hosts}"] if task.listed else []
        return [self._module, "crawl", str(PROJECT / task.spider), *where, *limits, *allowed, *self._words]

    def settings(self, server: Server, folder: Path) -> Mapping[str, str]:
        return _trusting(server)

    def items(self, task: Task, folder: Path) -> Items:
        with closing(sqlite3.connect(folder / "ours.db")) as conn:
            names = ", ".join(f'"{name}"' for name in task.fields)
            return task.comparable(conn.execute(f'SELECT {names} FROM "{task.table}"').fetchall())  # noqa: S608


class _Peer:
    """A library with an environment of its own."""

    name: str
    #: What pip is asked for, and what is looked at to see that it is there.
    wanted: tuple[str, ...]
    modules: str
    #: Whose versions are told.
    told: tuple[str, ...]

    def __init__(self) -> None:
        self._folder = WORK / self.name.lower()
        self._python = self._folder / "bin" / "python"
        importing = [str(self._python), "-c", f"import {self.modules}"]
        if self._python.exists() and not subprocess.run(importing, capture_output=True).returncode:
            return
        print(f"making an environment for {self.name} (first use) …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(self._folder)], check=True)
        if subprocess.run([str(self._python), "-m", "pip", "install", "-qq", *self.wanted]).returncode:
            raise BenchmarkError(f"pip could not install {self.name}; it said why above")

    def versions(self) -> dict[str, str]:
        return _installed(str(self._python), self.told)

    def settings(self, server: Server, folder: Path) -> Mapping[str, str]:
        return _trusting(server)

    def _program(self, task: Task) -> list[str]:
        return [str(self._python), str(PEERS / f"{self.name.lower()}_{task.name}.py")]

    def items(self, task: Task, folder: Path) -> Items:
        lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
        found = [item for item in map(json.loads, lines) if task.fields[0] in item]
        return task.comparable([tuple(item[name] for name in task.fields) for item in found])


class Scrapy(_Peer):
    """Scrapy with the settings of a generated project."""

    name = "Scrapy"
    wanted = ("scrapy",)
    modules = "scrapy, twisted.internet.asyncioreactor"
    told = ("scrapy", "twisted", "lxml", "parsel")

    def __init__(self, log_level: str = "DEBUG") -> None:
        super().__init__()
        self._log_level = log_level

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        program = PEERS / f"scrapy_{task.name}.py"
        settings = [f"LOG_LEVEL={self._log_level}", f"CONCURRENT_REQUESTS={task.concurrency}"]
        start = [f"start={server.start}", f"hosts={','.join(server.hosts)}"]
        flags = [word for setting in settings for word in ("-s", setting)]
        flags += [word for argument in start for word in ("-a", argument)]
        out = str(folder / "items.jsonl")
        return [str(self._python), "-m", "scrapy", "runspider", str(program), *flags, "-O", out]


class Scrapling(_Peer):
    """Scrapling's spiders with its default session (curl as Chrome)."""

    name = "Scrapling"
    wanted = ("scrapling[fetchers]",)
    modules = "scrapling.spiders"
    told = ("scrapling", "curl_cffi", "lxml")

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        how = [",".join(server.netlocs), str(task.concurrency), str(folder / "items.jsonl")]
        return [*self._program(task), server.start, *how]


class Crawlee(_Peer):
    """Crawlee for Python with its ParselCrawler and its default client and storage."""

    name = "Crawlee"
    wanted = ("crawlee[parsel]",)
    modules = "crawlee.crawlers, parsel"
    told = ("crawlee", "impit", "parsel")

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        return [*self._program(task), server.start, str(task.concurrency), str(folder / "items.json")]

    def settings(self, server: Server, folder: Path) -> Mapping[str, str]:
        return {**_trusting(server), "CRAWLEE_STORAGE_DIR": str(folder / "storage")}

    def items(self, task: Task, folder: Path) -> Items:
        found = json.loads((folder / "items.json").read_text(encoding="utf-8"))
        return task.comparable([tuple(item[name] for name in task.fields) for item in found])


class Plain(_Peer):
    """No framework: httpx, selectolax, aiosqlite, a commit for each item."""

    name = "plain"
    wanted = ("httpx", "selectolax", "aiosqlite")
    modules = "httpx, selectolax, aiosqlite"
    told = ("httpx", "selectolax", "aiosqlite")

    def command(self, task: Task, server: Server, folder: Path) -> list[str]:
        return [*self._program(task), server.start, str(task.concurrency), str(folder / "items.db")]

    def items(self, task: Task, folder: Path) -> Items:
        with closing(sqlite3.connect(folder / "items.db")) as conn:
            names = ", ".join(task.fields)
            return task.comparable(conn.execute(f"SELECT {names} FROM {task.table}").fetchall())  # noqa: S608


class Bare(Plain):
    """The least that does the job with aiohttp and selectolax, without anything a crawler is for: no peer but a mark."""

    name = "bare"
    wanted = ("aiohttp", "selectolax")
    modules = "aiohttp, selectolax"
    told = ("aiohttp", "selectolax")


def _plain(value: Any) -> Any:
    """Lists as JSON, as our database has them."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _trusting(server: Server) -> dict[str, str]:
    """What makes OpenSSL and curl trust the server, as a person would do it for a company's own authority."""
    return {"SSL_CERT_FILE": server.trust, "CURL_CA_BUNDLE": server.trust} if server.trust else {}


def _installed(python: str, names: tuple[str, ...]) -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*map(version, {names!r}))"
    return dict(zip(names, _ask([python, "-c", code]).split(), strict=True))


def _ask(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, env=environment())
    if answer.returncode:
        raise BenchmarkError(f"{command[0]} lacks a package: {answer.stderr.strip().splitlines()[-1]}")
    return answer.stdout
