"""What `scraper new` does: fetch one page, guess what it lists, write a spider that runs as it is."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import click

from scraper.api import Crawl
from scraper.cli.guess import Block, guess_block, guess_next
from scraper.cli.terminal.formatting import plural
from scraper.core.tracebacks import printable
from scraper.core.urls import is_ip, split
from scraper.errors import UsageError
from scraper.page import Page, document_of
from scraper.project.config_file import read_configuration
from scraper.project.folder import project_folder, shown
from scraper.reports.summary import Summary
from scraper.settings import Layers
from scraper.spider import Spider

__all__ = ["write_spider"]

#: The budget of a spider nobody has looked at yet.
MAX_PAGES = 100

SPIDER = '''"""A first spider for {host}. The selectors are a guess: see what they give, then make it yours."""

from scraper import Page, Spider


class {name}(Spider):
    start_urls = [{url}]
    max_pages = {pages}

    def parse(self, page: Page):
{body}
'''


def write_spider(url: str, output: str | None, *, force: bool) -> int:
    """Write the spider, say what was found, and return the exit code: 4 when the page could not be had."""
    path = Path(output) if output is not None else _path_for(url)
    if path.suffix != ".py":
        raise UsageError(f"-o {path}: a spider's file ends in .py")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; name another file with -o FILE, or replace it with --force")
    page, summary = asyncio.run(_fetch(url))
    if page is None:
        why = summary.start_problem or f"{url}  gave no page: {summary.reason}"
        click.echo(printable(f"✗ {why}. Nothing written."), err=True)
        return 4
    block, following = guess_block(page), guess_next(page)
    _write(path, _spider(path, url, block, following))
    for line in (*_told(page, block, following), _next_step(path)):
        click.echo(printable(line), err=True)
    return 0


async def _fetch(url: str) -> tuple[Page | None, Summary]:
    """One page, by a crawl of one page that keeps nothing, and what became of it."""
    pages: list[Page] = []

    class Looking(Spider[Any]):
        name = "new"

        def parse(self, page: Page) -> None:
            document_of(page).root()
            pages.append(page)

    configuration = read_configuration(project_folder(), os.environ)
    layers = Layers(configuration.project, configuration.environment)
    settings = {"max_pages": 1, "retries": 1}
    crawl = Crawl(Looking, start=[url], db=":memory:", inline=True, settings=settings, layers=layers)
    summary = await crawl.run()
    return (pages[0] if pages else None), summary


def _path_for(url: str) -> Path:
    """A file named after the host, in the project's spiders/ folder where there is one."""
    try:
        host = split(url).host.removeprefix("www.")
    except ValueError:
        host = ""  # the fetch says what is wrong with it
    words = re.findall(r"[a-z0-9]+", host.partition(".")[0])
    name = "_".join(words) if words and not is_ip(host) and not words[0][0].isdigit() else "site"
    folder = project_folder() / "spiders"
    return Path(shown(folder / f"{name}.py")) if folder.is_dir() else Path(f"{name}.py")


def _spider(path: Path, url: str, block: Block | None, following: str | None) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.stem)
    name = "".join(word.capitalize() for word in words)
    if not name[:1].isalpha() or name in {"Page", "Spider", "None", "True", "False"}:
        name = f"My{name}"
    return SPIDER.format(
        host=split(url).host, name=name, url=_quoted(url), pages=MAX_PAGES, body=_body(block, following)
    )


def _body(block: Block | None, following: str | None) -> str:
    """The lines of `parse`. A page on which nothing repeats still gives one item."""
    lines = ['yield {"title": page.text("title", default=None), "url": page.url}']
    if block is not None:
        fields = [f"        {_quoted(name)}: {code}," for name, code in block.fields.items()]
        lines = [f"for block in page.css({_quoted(block.selector)}):", "    yield {", *fields, "    }"]
    if following is not None:
        lines.append(f"yield page.follow({_quoted(following)})")
    return "\n".join(f"        {line}" for line in lines)


def _quoted(text: str) -> str:
    """A Python literal in double quotes; JSON's is one, and has no character that is not ASCII."""
    return json.dumps(text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _told(page: Page, block: Block | None, following: str | None) -> list[str]:
    title = page.text("title", default="") or "no title"
    lines = [f"{title}   {plural(len(page.links()), 'link')}"]
    if block is None:
        lines.append("  nothing repeats on this page; perhaps a script in it makes the content")
    else:
        fields = ", ".join(block.fields)
        lines.append(f'  {plural(block.count, "block")} like "{block.selector}", with {fields}')
    if following is not None:
        lines.append(f'  the next page is at "{following}"')
    return lines


def _next_step(path: Path) -> str:
    """Where the spider is and how it is run: by name from the spiders/ folder, by file from elsewhere."""
    named = path.resolve().parent == project_folder() / "spiders"
    name = "".join(re.findall(r"[A-Za-z0-9]+", path.stem)).lower()
    return f"  wrote {path}; run it: scraper crawl {name if named else path}"
