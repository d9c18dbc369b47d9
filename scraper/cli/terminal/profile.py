"""How `scraper crawl --profile` tells where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scraper.cli.terminal.formatting import duration, number, plural, shown_place
from scraper.profiling import Figures

__all__ = ["profile_lines"]

#: Callbacks and selectors told at most.
MOST = 8
#: What the parts are, in the order in which a page meets them.
ABOUT = {
    "requests and bodies": "making requests, reading and decoding bodies",
    "loop and sockets": "the event loop, sockets, whatever is not below or above",
    "the way of a page": "robots.txt, rate limits, deciding what became of it",
    "reading HTML": "decoding text and building the tree",
    "selectors": "finding elements",
    "callbacks": "your code itself",
    "links": "joining and sorting links",
    "items": "the pipeline: checking items, making rows",
    "database": "the database's own thread",
}


def profile_lines(of: Figures) -> Iterator[str]:
    """The lines of a profile: the clock, the fetches, the CPU, callbacks and selectors, the dearest first."""
    each = f", {_ms(of.cpu / of.pages)} a page" if of.pages else ""
    yield f"  profile   {plural(of.pages, 'page')} in {duration(of.wall)} · {of.cpu:.2f} s of CPU{each}"
    if waited := _shares(of.clock):
        yield f"    waited    {waited}"
    if of.slowest_fetch:
        within = f"median {_ms(of.fetches['median'])}, 95 of 100 within {_ms(of.fetches['p95'])}"
        yield f"    fetches   {within}, longest {_ms(of.fetches['longest'])}: {of.slowest_fetch}"
    yield f"    database  {_ms(of.transactions)} in transactions, beside the rest"
    yield f"  {'CPU':26}{'a page':>10}{'share':>8}"
    for part, seconds in sorted(of.parts.items(), key=lambda pair: -pair[1]):
        share = seconds / of.cpu if of.cpu else 0.0
        yield f"    {part:24}{_ms(seconds / max(1, of.pages)):>10}{_percent(share):>8}  {ABOUT[part]}"
    if of.callbacks:
        yield f"  {'callback':26}{'each':>10}{'longest':>10}{'waited':>10}{'calls':>9}"
    for one in of.callbacks[:MOST]:
        times = (one.busy / one.calls, one.longest, one.waited / one.calls)
        yield f"    {one.name:24}{_row(times, one.calls)}  {shown_place(one.place)}"
        yield f"      longest on {one.page}"
    if of.selectors:
        yield f"    {'each':>10}{'longest':>10}{'all':>10}{'calls':>9}  selector"
    for slow in of.selectors[:MOST]:
        times = (slow.seconds / slow.calls, slow.longest, slow.seconds)
        asked = f"{slow.call}({slow.selector!r})"
        yield f"    {_row(times, slow.calls)}  {asked}  {shown_place(slow.place)} in {slow.function}"


def _row(times: tuple[float, ...], calls: int) -> str:
    return "".join(f"{_ms(seconds):>10}" for seconds in times) + f"{number(calls):>9}"


def _ms(seconds: float) -> str:
    ms = 1000 * seconds
    return f"{ms:.3f} ms" if ms < 1 else f"{ms:.1f} ms" if ms < 100 else f"{ms / 1000:.2f} s"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _shares(spent: Mapping[str, float]) -> str:
    total = sum(spent.values())
    most = sorted(spent.items(), key=lambda pair: -pair[1])
    return " · ".join(
        f"{cause} {_percent(seconds / total)}"
        for cause, seconds in most
        if total and seconds / total >= 0.005
    )
