"""What the demo's sites hold: every page, computed from the same few words, so the same on every machine.

The shop sells 180 products in six categories; every fifth has a page of reviews on another site. A partner
sells 24 of them second-hand and one behind a redirect. Three links lead to pages that are gone, six into a
branch robots.txt forbids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

__all__ = ["SITES", "Answer", "Pages"]

#: The sites, each on an address of its own.
SITES = ("shop", "reviews", "partner")
#: Who sells, as the sites' pages name them.
SELLERS = {"shop": "Lantern & Fern", "reviews": "Honest Stars", "partner": "Second Chance"}

CATEGORIES = {
    "lamps": "lamp",
    "chairs": "chair",
    "kettles": "kettle",
    "rugs": "rug",
    "clocks": "clock",
    "baskets": "basket",
}
STYLES = (
    "Amber", "Birch", "Brass", "Coral", "Cotton", "Crystal", "Dune", "Ebony", "Flint", "Garden", "Harbour",
    "Indigo", "Ivory", "Jade", "Linen", "Maple", "Marble", "Meadow", "Mint", "Nordic", "Oak", "Olive",
    "Pearl", "Quartz", "River", "Saffron", "Slate", "Velvet", "Walnut", "Willow",
)  # fmt: skip
AUTHORS = ("Ada", "Bruno", "Chen", "Dalia", "Emil", "Farah", "Goran", "Hana")
VERDICTS = ("Broke in a week", "Looks better than it is", "Does its job", "Well made", "Would buy it again")

#: Products on one page of a listing.
ON_A_PAGE = 10
#: Every so many products one has reviews; the partner sells so many of each category.
REVIEWED, SECOND_HAND = 5, 4
#: Categories with a link to a product that is gone.
GONE = ("lamps", "kettles", "clocks")


class Answer(NamedTuple):
    """An HTTP answer: status, headers beyond the framing, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_HTML = MappingProxyType({"Content-Type": "text/html; charset=utf-8"})
_TEXT = MappingProxyType({"Content-Type": "text/plain; charset=utf-8"})


@dataclass(frozen=True, slots=True)
class _Goods:
    """A product for sale; `cents` its price."""

    sku: str
    name: str
    category: str
    cents: int
    stock: int

    @property
    def price(self) -> str:
        return f"£{self.cents // 100}.{self.cents % 100:02}"

    @property
    def path(self) -> str:
        return f"/product/{self.sku.lower()}"


class Pages:
    """All pages of the three sites. `bases` maps each of `SITES` to its `http://host:port`."""

    def __init__(self, bases: Mapping[str, str]) -> None:
        self._bases = bases
        self._pages: dict[tuple[str, str], Answer] = {}
        self._stock_shop()
        self._stock_partner()

    def answer(self, site: str, path: str) -> Answer:
        """What a site answers to GET `path` (with its query); 404 for what it has not."""
        return self._pages.get((site, path)) or self._html(site, "Nothing here", "", status=404)

    def _stock_shop(self) -> None:
        """Home, categories with their pagers, products, and their reviews on the other site."""
        robots = b"User-agent: *\nDisallow: /private/\n"
        self._pages["shop", "/robots.txt"] = Answer(200, _TEXT, robots)
        self._add("shop", "/", "Everything for a slow afternoon", "<p>Choose a category.</p>")
        for category in CATEGORIES:
            goods = [_goods(category, number) for number in range(len(STYLES))]
            self._add_listing("shop", f"/{category}", category.title(), goods, _extras(category))
            for number, product in enumerate(goods):
                self._add_product("shop", product, reviewed=number % REVIEWED == 0)

    def _stock_partner(self) -> None:
        """Two pages of second-hand goods, and an offer that has moved."""
        goods = [_second_hand(category, number) for category in CATEGORIES for number in range(SECOND_HAND)]
        offer = '<article><h2><a href="/offer">Offer of the week</a></h2></article>'
        self._add_listing("partner", "/", "Second-hand", goods, offer)
        moved = _second_hand("lamps", SECOND_HAND)
        self._pages["partner", "/offer"] = Answer(302, {"Location": moved.path}, b"")
        for product in (*goods, moved):
            self._add_product("partner", product)

    def _add_listing(self, site: str, path: str, title: str, goods: list[_Goods], extras: str) -> None:
        """Pages of products; `extras` stand on the first, each page but the last links to the next."""
        last = (len(goods) - 1) // ON_A_PAGE + 1
        for number in range(1, last + 1):
            shown = goods[(number - 1) * ON_A_PAGE : number * ON_A_PAGE]
            body = "".join(_card(product) for product in shown) + (extras if number == 1 else "")
            if number < last:
                body += f'<a class="next" href="{path}?page={number + 1}">Next page</a>'
            self._add(site, path if number == 1 else f"{path}?page={number}", title, body)

    def _add_product(self, site: str, product: _Goods, *, reviewed: bool = False) -> None:
        body = (
            f'<dl><dt>Article</dt><dd class="sku">{product.sku}</dd>'
            f'<dt>Category</dt><dd class="category">{product.category}</dd>'
            f'<dt>Price</dt><dd class="price">{product.price}</dd>'
            f'<dt>Availability</dt><dd class="stock">{product.stock} in stock</dd></dl>'
        )
        if reviewed:
            path = f"/of/{product.sku.lower()}"
            body += f'<a class="reviews" href="{self._bases["reviews"]}{path}">What others say</a>'
            self._add("reviews", path, f"Reviews of {product.name}", "".join(_reviews(product)))
        self._add(site, product.path, product.name, body)

    def _add(self, site: str, path: str, title: str, body: str) -> None:
        self._pages[site, path] = self._html(site, title, body)

    def _html(self, site: str, title: str, body: str, status: int = 200) -> Answer:
        seller = escape(SELLERS[site])
        links = "".join(f'<a href="{url}">{escape(text)}</a> ' for text, url in self._navigation(site))
        text = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(title)} · {seller}</title></head>"
            f'<body><header><p class="seller">{seller}</p><nav>{links}</nav></header>'
            f"<main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
        )
        return Answer(status, _HTML, text.encode())

    def _navigation(self, site: str) -> Iterator[tuple[str, str]]:
        if site == "shop":
            yield from ((category.title(), f"/{category}") for category in CATEGORIES)
            yield SELLERS["partner"], f"{self._bases['partner']}/"
        else:
            yield SELLERS["shop"], f"{self._bases['shop']}/"


def _goods(category: str, number: int) -> _Goods:
    sku = f"{category[:3].upper()}-{number + 1:02}"
    chance = crc32(sku.encode())
    name = f"{STYLES[number]} {CATEGORIES[category]}"
    return _Goods(sku, name, category.title(), 995 + chance % 190 * 50, chance // 190 % 40)


def _second_hand(category: str, number: int) -> _Goods:
    """What the shop sells, at three fifths of its price, one of each."""
    new = _goods(category, number)
    return _Goods(f"2ND-{new.sku}", new.name, new.category, new.cents * 3 // 5, 1)


def _card(product: _Goods) -> str:
    return (
        f'<article><h2><a href="{product.path}">{escape(product.name)}</a></h2>'
        f'<p class="price">{product.price}</p></article>'
    )


def _extras(category: str) -> str:
    """Cards that lead nowhere: a preview robots.txt forbids, and in some categories a product gone."""
    links = [("Preview for members", f"/private/preview/{category}")]
    if category in GONE:
        links.append(("Sold out for good", f"/product/{category[:3]}-gone"))
    return "".join(f'<article><h2><a href="{path}">{text}</a></h2></article>' for text, path in links)


def _reviews(product: _Goods) -> Iterable[str]:
    """Two to five reviews, each by another author."""
    chance = crc32(product.name.encode())
    for number in range(2 + chance % 4):
        author = AUTHORS[(chance + number) % len(AUTHORS)]
        stars = 1 + crc32(f"{product.sku}{author}".encode()) % 5
        by = f'<cite>{author}</cite> <span class="stars">{stars}</span>'
        yield f"<blockquote><p>{VERDICTS[stars - 1]}.</p>{by}</blockquote>"
