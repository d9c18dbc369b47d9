"""A shop of any size, the same on every machine: pages of about 30 kB, ten links each, products with eight fields.

    with made(Kind(pages=2_000, hosts=1)) as folder: …

Page n links to the pages 10 n + 1 to 10 n + 10 (modulo the number of pages), so that all are reached from page 0 in a few
steps and each is linked to ten times: nine of ten links are known already. Every twentieth page is a category without an
item. With several hosts page n lives on host n modulo hosts; every host has a folder of its own.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from benchmarks.serving import WORK

__all__ = ["FIELDS", "Kind", "make", "product"]

FIELDS = ("sku", "name", "brand", "price", "rating", "stock", "reviews", "category")
#: Every so many pages one is a category: links, but no item.
CATEGORY = 20
#: Links of a page; the size of what stands around the fields, in bytes.
LINKS, TEXT = 10, 18_000
#: Pages in one folder.
FOLDER = 1_000
#: Raise it when the pages change: a site made by older code is then made again.
VERSION = 3

WORDS = (
    "amber", "birch", "brass", "calm", "coral", "cotton", "crystal", "dune", "ebony", "flint", "garden",
    "harbour", "indigo", "ivory", "jade", "linen", "maple", "marble", "meadow", "mint", "nordic", "oak",
    "olive", "pearl", "quartz", "river", "saffron", "slate", "velvet", "walnut", "willow", "winter",
    "kettle", "lantern", "basket", "clock", "mirror", "drawer", "handle", "carved", "woven", "glazed",
    "polished", "sturdy", "light", "quiet",
)  # fmt: skip
BRANDS = (
    "Lantern & Fern",
    "Oak Brothers",
    "Nordfjord",
    "Café Müller",
    "Slate",
    "Willow & Sons",
    "Kestrel",
    "Daily",
)
CATEGORIES = ("Lamps", "Chairs", "Kettles", "Rugs", "Clocks", "Baskets", "Mirrors", "Shelves")


@dataclass(frozen=True)
class Kind:
    """One shop: how many pages, spread over how many hosts."""

    pages: int
    hosts: int = 1

    @property
    def items(self) -> int:
        return self.pages - (self.pages - 1) // CATEGORY - 1

    @property
    def folder(self) -> Path:
        return WORK / "shops" / f"{self.pages}-{self.hosts}"


def make(kind: Kind, base: str, *, zipped: bool = False) -> Path:
    """The folder of a shop whose host h is at `base` with h + 1 for {host}; made where it is not there yet.

    With one host all links are paths, with several they are absolute and `base` counts. `zipped` adds a .gz beside every
    page (nginx's gzip_static sends those).
    """
    folder = kind.folder
    mark = folder / "made.json"
    wanted = {"kind": asdict(kind), "base": base if kind.hosts > 1 else "", "version": VERSION}
    found = json.loads(mark.read_text()) if mark.is_file() else None
    if found != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _write(kind, base)
        mark.write_text(json.dumps(wanted))
    if zipped and not (folder / "zipped").is_file():
        for page in folder.rglob("*.html"):
            page.with_suffix(".html.gz").write_bytes(gzip.compress(page.read_bytes(), 6, mtime=0))
        (folder / "zipped").touch()
    return folder


def product(number: int) -> tuple[str, str, str, str, float, int, int, str]:
    """The fields of page `number`, as (…FIELDS); the price as text with two decimals."""
    chance = random.Random(number)
    name = " ".join(chance.sample(WORDS, 3)).title()
    cents = chance.randrange(500, 50_000)
    return (
        f"SKU-{number:07}", name, chance.choice(BRANDS), f"{cents // 100}.{cents % 100:02}",
        chance.randrange(10, 51) / 10, chance.randrange(200), chance.randrange(5_000), chance.choice(CATEGORIES),
    )  # fmt: skip


def is_category(number: int) -> bool:
    return number % CATEGORY == 0


def path(number: int) -> str:
    """The path of a page at its host."""
    return f"/shop/{number // FOLDER}/{number}.html" if number else "/index.html"


def items(kind: Kind) -> Iterator[tuple[object, ...]]:
    """What a crawl must find, in order of their pages."""
    return (product(number) for number in range(kind.pages) if not is_category(number))


def _write(kind: Kind, base: str) -> None:
    parts = _Parts()
    for host in range(kind.hosts):
        root = kind.folder / str(host)
        root.mkdir(parents=True)
        (root / "robots.txt").write_text("User-agent: *\nDisallow: /account/\nDisallow: /cart/\n")
        for thousand in range((kind.pages - 1) // FOLDER + 1):
            (root / "shop" / str(thousand)).mkdir(parents=True)
    for number in range(kind.pages):
        at = f"{kind.folder}/{number % kind.hosts}{path(number)}"
        with open(at, "wb") as file:
            file.write(parts.page(number, kind, base))


class _Parts:
    """What pages are put together from: most of a page is one of a few texts, so that making a million is cheap."""

    def __init__(self) -> None:
        chance = random.Random("shop")
        self._head = _head(chance).encode()
        self._texts = [_text(chance, TEXT).encode() for _ in range(16)]
        self._reviews = [_reviews(chance).encode() for _ in range(16)]
        self._foot = _foot(chance).encode()

    def page(self, number: int, kind: Kind, base: str) -> bytes:
        links = "".join(self._card(target, kind, base) for target in _targets(number, kind.pages))
        fields = _listing(number) if is_category(number) else _fields(product(number))
        turn = number // CATEGORY
        return b"".join(
            (
                b'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>',
                f"Page {number} · The generated shop".encode(),
                self._head, fields.encode(),
                b'<section class="description">', self._texts[(number + turn) % 16], b"</section>",
                b'<section class="reviews">', self._reviews[(number + 3 * turn) % 16], b"</section>",
                b'<section class="related"><ul>', links.encode(), b"</ul></section>",
                self._foot,
            )
        )  # fmt: skip

    @staticmethod
    def _card(target: int, kind: Kind, base: str) -> str:
        where = path(target)
        if kind.hosts > 1:
            where = base.format(host=target % kind.hosts + 1) + where
        sort = "category" if is_category(target) else "product"
        return (
            f'<li class="card"><div class="thumb" data-src="/img/{target}.jpg"></div>'
            f'<a class="{sort}" href="{where}" title="Number {target}">Number {target}</a></li>\n'
        )


def _targets(number: int, pages: int) -> list[int]:
    """Never the start: Scrapy does not remember its start requests, and would fetch it a second time."""
    return [(number * LINKS + i) % pages or 1 for i in range(1, LINKS + 1)]


def _fields(of: tuple[str, str, str, str, float, int, int, str]) -> str:
    sku, name, brand, price, rating, stock, reviews, category = of
    return (
        f'<article class="item"><p class="crumbs">Home / <span class="category">{category}</span></p>'
        f'<h1>{escape(name)}</h1><p class="brand">{escape(brand)}</p><p class="price">£{price}</p>'
        f'<p class="rating" data-value="{rating}">{rating} of 5</p>'
        f'<table class="facts"><tr><th>SKU</th><td class="sku">{sku}</td></tr>'
        f'<tr><th>Availability</th><td class="stock">In stock ({stock} available)</td></tr>'
        f'<tr><th>Reviews</th><td class="count">{reviews}</td></tr></table></article>'
    )


def _listing(number: int) -> str:
    return f'<article class="listing"><h1>Category {number // CATEGORY}</h1></article>'


def _prose(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize() + "."


def _head(chance: random.Random) -> str:
    """Rest of the head, and the navigation: spans, since a page has just its ten links."""
    style = "".join(
        f".{chance.choice(WORDS)}-{i}{{margin:{i}px;padding:{i % 7}px;color:#{i * 40503 % 0xFFFFFF:06x}}}"
        for i in range(60)
    )
    menu = "".join(
        f'<li class="entry level-{i % 3}"><span class="label">{_prose(chance, 2)}</span></li>'
        for i in range(30)
    )
    meta = "".join(f'<meta name="{word}" content="{_prose(chance, 4)}">' for word in WORDS[:8])
    return f'</title>{meta}<style>{style}</style></head><body class="shop"><header><nav><ul>{menu}</ul></nav></header><main>'


def _text(chance: random.Random, size: int) -> str:
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        bold = f"<b>{_prose(chance, 2)}</b> <em>{_prose(chance, 1)}</em>"
        parts.append(f'<div class="row"><p>{_prose(chance, 40)} {bold} {_prose(chance, 25)}</p></div>\n')
    return "".join(parts)


def _reviews(chance: random.Random) -> str:
    one = '<blockquote class="review"><cite>{}</cite><span class="stars">{}</span><p>{}</p></blockquote>\n'
    return "".join(
        one.format(chance.choice(WORDS).title(), chance.randrange(1, 6), _prose(chance, 18))
        for _ in range(12)
    )


def _foot(chance: random.Random) -> str:
    columns = "".join(f'<div class="column"><p>{_prose(chance, 12)}</p></div>' for _ in range(6))
    script = "var shop={" + ",".join(f'"{word}":{i}' for i, word in enumerate(WORDS)) + "};"
    return f"</main><footer>{columns}</footer><script>{script}</script></body></html>\n"
