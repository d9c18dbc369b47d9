"""`scraper try`: one page of a spider, as a crawl would see it; nothing is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from scraper.cli.terminal.findings import error_lines
from scraper.cli.terminal.formatting import number, plural, shown_place
from scraper.core.models import Effects, Options, PageResult, Request
from scraper.core.tracebacks import printable
from scraper.engine.visit_ending import kept
from scraper.errors import UsageError
from scraper.page import Page
from scraper.project.folder import find_database
from scraper.project.target import Target, find_target, pairs_of
from scraper.query import Reading
from scraper.reports.failures import Problem
from scraper.reports.findings import failure_of, with_calls
from scraper.reports.selectors import SelectorHits
from scraper.reports.stored_request import StoredRequest, stored_request
from scraper.settings import did_you_mean
from scraper.testing.saved_case import save_case
from scraper.testing.single_page import Recorded, Setup, Trial, try_page

__all__ = ["try_"]

#: Items and links shown unless --all is given.
SHOWN = 5


@click.command("try")
@click.argument("target")
@click.argument("url", required=False)
@click.option("--callback", metavar="NAME", help="This callback instead of the one known.")
@click.option("-a", "arguments", multiple=True, metavar="KEY=VALUE", help="An argument of the spider.")
@click.option("--db", metavar="FILE", help="The database that knows the URL; default data/<spider>.db.")
@click.option("--fetch", is_flag=True, help="Fetch the page even when it was kept.")
@click.option("--save", is_flag=True, help="Save page and result as a test case for pytest.")
@click.option("--all", "everything", is_flag=True, help="Show all items and links.")
def try_(target: str, url: str | None, everything: bool, save: bool, **given: Any) -> int:
    """Run ONE page of the spider TARGET, by default its first start: items, links, selectors. Stores nothing."""
    found = find_target(target)
    known = _known(found, url, given["db"]) if url is not None else None
    request = _request(found, url, known, given["callback"])
    page = known.page if known is not None and not given["fetch"] else None
    if known is not None and page is None and not known.whole:
        raise UsageError(
            f"{known.url}: its headers or body were cleared when it ended, so it cannot be sent again"
        )
    arguments = {**(known.arguments if known is not None else {}), **pairs_of(given["arguments"], "-a")}
    setup = Setup(arguments, _shallower(found, known), found.layers)
    recorded = Recorded(page, known.robots if known is not None else None)
    trial = asyncio.run(try_page(found.cls, request, setup, recorded))
    how = f"kept page of run {known.run}" if known is not None and page is not None else "fetched"
    for line in _report(trial, target, how, None if everything else SHOWN):
        click.echo(printable(line))
    if save:
        _save(target, found, trial, arguments)
    return trial.exit_code


def _known(found: Target, url: str, database: str | None) -> StoredRequest | None:
    """The URL in the database that is named, or in the spider's own where there is one."""
    path = find_database(database) if database is not None else _own_database(found)
    if path is None:
        return None
    with Reading(path) as reading:
        return reading.read(stored_request, url)


def _own_database(found: Target) -> str | None:
    path = found.project / "data" / f"{found.definition.name}.db"
    return str(path) if path.is_file() else None


def _request(
    found: Target, url: str | None, known: StoredRequest | None, callback: str | None
) -> Request | None:
    if url is None:
        if callback is not None:
            raise UsageError("--callback needs the URL it is for: scraper try TARGET URL --callback NAME")
        return None
    options = known.options if known is not None else Options()
    if callback is not None and callback != options.callback:
        options = Options(callback=callback)
    if options.callback not in found.definition.callbacks:
        known_names = found.definition.callbacks
        meant = did_you_mean(options.callback, known_names)
        raise UsageError(f'{found.definition.name} has no callback "{options.callback}"{meant}')
    return Request.of(known.url if known is not None else url, options)


def _shallower(found: Target, known: StoredRequest | None) -> dict[str, Any]:
    """How far links may lead from a page that is some steps from the start itself."""
    deepest = found.definition.settings.get("max_depth")
    if known is None or deepest is None:
        return {}
    return {"max_depth": max(0, int(deepest) - known.depth)}


def _report(trial: Trial, target: str, how: str, most: int | None) -> list[str]:
    done = trial.done
    if done is None:
        return ["✗ nothing was done: the spider's start gives no request"]
    effects, result = done.effects, done.result
    url, outcome = result.url, effects.outcome
    status = f"HTTP {trial.page.status}, " if trial.page is not None else ""
    mark = "✓" if trial.exit_code == 0 else "✗"
    lines = [f"{mark} {url}   {status}{how}, for {_call(effects.request.options)}"]
    if result.error is not None:
        error = result.error
        problem = Problem(error.kind, None, 1, url, error.message, error.place, error.detail)
        told = error_lines(failure_of(problem, _missed(result)), "", "")
        lines += [line for line in told if not line.startswith("  first:")]
    elif outcome.name != "ok":
        lines.append(f"  {outcome.name}: {outcome.why or outcome.kind}")
    if trial.page is not None:
        lines += [*_items(result, most), *_links(effects, most), *_selectors(result, trial.page)]
    return lines


def _call(options: Options) -> str:
    return f"{options.callback}({options.args or ''})"


def _missed(result: PageResult) -> list[SelectorHits]:
    """The selectors this page was asked for."""
    found = []
    for site, matched in result.hits.items():
        file, line, function, call, css = site
        meant, matches = result.meant.get(site, (None, 0))
        place = f"{file}:{line}"
        found.append(
            SelectorHits(place, function, call, css, 1, int(matched), result.url, meant, matches, before=None)
        )
    return found


def _items(result: PageResult, most: int | None) -> list[str]:
    lines = [f"items {number(len(result.items))}"]
    for row in result.items[:most]:
        names = [column.name for column in row.table.columns]
        width = max(map(len, names), default=0)
        lines.append(f"  {row.table.name}")
        lines += [f"    {name.ljust(width)}  {_value(v)}" for name, v in zip(names, row.values, strict=True)]
    lines += _more(len(result.items), most)
    for rejected in result.rejected:
        lines.append(f"  not stored: {rejected.reason}   {shown_place(rejected.place)}")
    return lines


def _value(value: Any) -> str:
    text = "–" if value is None else f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _links(effects: Effects, most: int | None) -> list[str]:
    lines = [f"links {number(len(effects.links))}"]
    lines += [f"  {link.options.callback}  {link.url}" for link in effects.links[:most]]
    lines += _more(len(effects.links), most)
    left = {name[6:]: n for name, n in effects.counts.items() if name.startswith("links.")}
    if left:
        lines.append("  left out: " + ", ".join(f"{number(n)} {why}" for why, n in left.items()))
    return lines


def _more(count: int, most: int | None) -> list[str]:
    return [f"  … {number(count - most)} more (--all)"] if most is not None and count > most else []


def _selectors(result: PageResult, page: Page) -> list[str]:
    """Each selector asked for: how often it matches on the whole page, whatever it was asked of."""
    if not result.hits:
        return []
    asked = [(f"{shown_place(one.hits.place)}  {one.call}", one.hits) for one in with_calls(_missed(result))]
    width = min(70, max(len(call) for call, _ in asked))
    lines = ["selectors, with their matches on the page"]
    for call, hit in asked:
        meant = f'; did you mean "{hit.meant}"? ({plural(hit.meant_matches, "match")})' if hit.meant else ""
        found = number(len(page.css(hit.selector))) if hit.matched else f"nothing{meant}"
        lines.append(f"  {call.ljust(width)}  {found}")
    return lines


def _save(target: str, found: Target, trial: Trial, arguments: Mapping[str, Any]) -> None:
    page = kept(trial.page) if trial.page is not None else None
    if page is None:
        raise UsageError("there is no page to save, or it is larger than 2 MiB")
    kept_back = {name: "not saved" for name in found.definition.secrets if name in arguments}
    file = save_case(target, found.project, trial, page, {**arguments, **kept_back})
    shown: Sequence[str] = file.parts
    if file.is_relative_to(Path.cwd()):
        shown = file.relative_to(Path.cwd()).parts
    click.echo(f"saved {Path(*shown)}; run it with: pytest {Path(*shown)}", err=True)
