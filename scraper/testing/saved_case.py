"""Saved test cases: a page, and what the spider made of it, as two files that pytest replays without a network."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scraper.core.models import Done, KeptPage, Options, Redirection, Request
from scraper.errors import StoreError, UsageError
from scraper.project.config_file import read_configuration
from scraper.project.folder import project_folder
from scraper.project.loader import load_spider, survey
from scraper.spider import define
from scraper.testing.single_page import Recorded, Setup, Trial, try_page

__all__ = ["SUFFIX", "Case", "accept", "difference", "load_case", "replay_case", "save_case"]

_OTHER = re.compile(r"[^a-zA-Z0-9]+")
_NO_WORD = re.compile(r"\W+")

#: How a case's file ends; its page lies beside it, with `.body`.
SUFFIX = ".case.json"
#: Nothing waits: there is no site to be polite to.
_SETTINGS: Mapping[str, Any] = {"robots": False, "rate": None, "delay": 0}


@dataclass(frozen=True, slots=True)
class Case:
    """A page and what the spider made of it. `spider` is a target, a file relative to the project.

    `url` is that of the page, `redirects` are the answers that led there.
    """

    spider: str
    arguments: Mapping[str, Any]
    url: str
    callback: str
    data: str | None
    status: int
    headers: Sequence[tuple[str, str]]
    result: Mapping[str, Any]
    redirects: Sequence[tuple[str, int]] = ()


def save_case(target: str, project: Path, trial: Trial, page: KeptPage, arguments: Mapping[str, Any]) -> Path:
    """Write the case of a trial below tests/cases of the project, replayed once. Returns its file.

    Raises UsageError for a page that was not fetched with GET, StoreError where the files cannot be written.
    """
    if trial.request is None or trial.request.options.method != "GET":
        raise UsageError("only a page that was fetched with GET can be saved")
    path, colon, cls = target.partition(":")
    if path.endswith(".py"):
        target = os.path.relpath(Path(path).resolve(), project) + colon + cls
    options = trial.request.options
    case = Case(
        target, arguments, page.url, options.callback, options.args, page.status,
        [(n, v) for n, v in page.headers], {}, trial.page.redirects if trial.page is not None else (),
    )  # fmt: skip
    name = _OTHER.sub("-", trial.request.url.partition("://")[2]).strip("-")[:80]
    file = project / "tests" / "cases" / _NO_WORD.sub("-", Path(path).stem) / f"{name}{SUFFIX}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _body_of(file).write_bytes(page.body)
        _write(file, case)
        accept(file)
    except OSError as error:
        for half in (file, _body_of(file)):
            with suppress(OSError):
                half.unlink(missing_ok=True)
        raise StoreError(f"{file} cannot be saved: {error.strerror or error}") from error
    return file


def load_case(file: Path) -> Case:
    """Read a case. Raises UsageError for a file that is none."""
    try:
        return Case(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{file} is no saved case: {error}") from error


def replay_case(file: Path) -> Mapping[str, Any]:
    """What the spider makes of the page today. Raises UsageError when it does not load."""
    case = load_case(file)
    project = _project_of(file)
    name, colon, rest = case.spider.partition(":")
    target = f"{project / name}{colon}{rest}" if name.endswith(".py") else case.spider
    spider = load_spider(target, project)
    layers = read_configuration(project, os.environ).layers(
        define(spider).name, lambda: survey(project).spiders
    )
    way = tuple(Redirection(url, status) for url, status in case.redirects)
    request = Request.of(case.url, Options(callback=case.callback, args=case.data, redirects=way))
    kept = KeptPage(case.url, case.status, case.headers, _body_of(file).read_bytes())
    setup = Setup(case.arguments, _SETTINGS, layers)
    trial = asyncio.run(try_page(spider, request, setup, Recorded(kept, offline=True)))
    return _result(trial.done)


def _project_of(file: Path) -> Path:
    """The project that a case was saved in (`tests/cases/SPIDER/FILE` in it), also where nothing else marks it as one."""
    here = file.resolve()
    found = project_folder(here.parent)
    is_unmarked = found == here.parent and here.parts[-4:-2] == ("tests", "cases")
    return here.parents[3] if is_unmarked else found


def difference(file: Path) -> str:
    """What changed since the case was saved, as a unified diff; empty when nothing did."""
    before, now = _lines(load_case(file).result), _lines(replay_case(file))
    return "\n".join(difflib.unified_diff(before, now, "saved", "now", lineterm=""))


def accept(file: Path) -> None:
    """Save what the spider makes of the page today as what it should."""
    case = load_case(file)
    _write(file, Case(**{**asdict(case), "result": replay_case(file)}))


def _result(done: Done | None) -> dict[str, Any]:
    if done is None:
        return {"outcome": "nothing was done"}
    outcome, result = done.effects.outcome, done.result
    ended = outcome.name if outcome.name == "ok" else f"{outcome.name}: {outcome.kind} {outcome.why}".strip()
    rows = []
    for row in result.items:
        values = zip(row.table.columns, row.values, strict=True)
        rows.append({row.table.name: {column.name: _plain(value) for column, value in values}})
    return {
        "outcome": ended,
        "items": rows,
        "rejected": [f"{r.table}: {r.reason}" for r in result.rejected],
        "links": [f"{link.options.callback} {link.url}" for link in done.effects.links],
    }


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _lines(result: Mapping[str, Any]) -> list[str]:
    return json.dumps(result, ensure_ascii=False, indent=1).splitlines()


def _body_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(SUFFIX) + ".body")


def _write(file: Path, case: Case) -> None:
    file.write_text(json.dumps(asdict(case), ensure_ascii=False, indent=1) + "\n")
