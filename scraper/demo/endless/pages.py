"""A shop of any size, the same on every machine: pages of about 30 kB, ten links each, products with eight fields.

Page n links to the pages 10 n + 1 to 10 n + 10 (modulo the number of pages), so that all are reached from page 0 in a few
steps and each is linked to ten times: nine of ten links are known already. Every twentieth page is a category without an
item.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

__all__ = ["FIELDS", "Fields", "Pages", "is_category", "path_of", "product"]

#: Every so many pages one is a category: links, but no item.
CATEGORY = 20
#: Links of a page; the size of the text around its fields, in bytes.
LINKS, TEXT = 10, 18_000
#: Pages whose paths share a folder.
FOLDER = 1_000

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


class Fields(NamedTuple):
    """What a product's page says; the price as text with two decimals."""

    sku: str
    name: str
    brand: str
    price: str
    rating: float
    stock: int
    reviews: int
    category: str


FIELDS = Fields._fields


def product(number: int) -> Fields:
    """The product of page `number`."""
    chance = random.Random(number)  # for repeatable pages
    name = " ".join(chance.sample(WORDS, 3)).title()
    cents = chance.randrange(500, 50_000)
    return Fields(
        f"SKU-{number:07}", name, chance.choice(BRANDS), f"{cents // 100}.{cents % 100:02}",
        chance.randrange(10, 51) / 10, chance.randrange(200), chance.randrange(5_000), chance.choice(CATEGORIES),
    )  # fmt: skip


def is_category(number: int) -> bool:
    return number % CATEGORY == 0


def path_of(number: int) -> str:
    """The path of a page at its host."""
    return f"/shop/{number // FOLDER}/{number}.html" if number else "/index.html"


class Pages:
    """The pages of a shop of `count`, put together from a few texts, so that a million are cheap.

    `where` gives the URL that links to a page have, where that is not its path.
    """

    def __init__(self, count: int, where: Callable[[int], str] = path_of) -> None:
        chance = random.Random("shop")  # for repeatable pages
        self._count = count
        self._where = where
        self._head = _head(chance).encode()
        self._texts = [_text(chance, TEXT).encode() for _ in range(16)]
        self._reviews = [_reviews(chance).encode() for _ in range(16)]
        self._foot = _foot(chance).encode()

    def page(self, number: int) -> bytes:
        """The page's HTML."""
        links = "".join(map(self._card, self.targets(number)))
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

    def targets(self, number: int) -> Iterator[int]:
        """The pages it links to. Never the start: Scrapy does not remember that it fetched its start requests."""
        return ((number * LINKS + i) % self._count or 1 for i in range(1, LINKS + 1))

    def _card(self, target: int) -> str:
        sort = "category" if is_category(target) else "product"
        return (
            f'<li class="card"><div class="thumb" data-src="/img/{target}.jpg"></div>'
            f'<a class="{sort}" href="{self._where(target)}" title="Number {target}">Number {target}</a></li>\n'
        )


def _fields(of: Fields) -> str:
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
