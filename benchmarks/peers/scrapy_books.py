"""The book shop (books.toscrape.com), with Scrapy."""

from decimal import Decimal

import scrapy
from generated import SETTINGS

RATINGS = {"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}


class BooksSpider(scrapy.Spider):
    name = "books"
    custom_settings = SETTINGS

    def __init__(self, start, hosts, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]
        self.allowed_domains = hosts.split(",")

    def parse(self, response):
        yield from response.follow_all(css="article.product_pod h3 a", callback=self.parse_book)
        yield from response.follow_all(css="div.side_categories a, ul.pager a")

    def parse_book(self, response):
        yield {
            "upc": response.css("table tr:nth-child(1) td::text").get(),
            "title": response.css("h1::text").get(),
            "price": Decimal(response.css("p.price_color::text").get().lstrip("£")),
            "tax": Decimal(response.css("table tr:nth-child(5) td::text").get().lstrip("£")),
            "rating": RATINGS[response.css("p.star-rating::attr(class)").get().split()[-1]],
            "stock": int(response.css("p.availability").re_first(r"\d+")),
            "reviews": int(response.css("table tr:nth-child(7) td::text").get()),
            "category": response.css("ul.breadcrumb li:nth-child(3) a::text").get(),
        }
