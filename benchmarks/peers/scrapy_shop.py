"""The generated shop, with Scrapy."""

from decimal import Decimal

import scrapy
from generated import SETTINGS


class ShopSpider(scrapy.Spider):
    name = "shop"
    custom_settings = SETTINGS

    def __init__(self, start, hosts, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]
        self.allowed_domains = hosts.split(",")

    def parse(self, response):
        yield from response.follow_all(css="a.product", callback=self.parse_product)
        yield from response.follow_all(css="a.category", callback=self.parse)

    def parse_product(self, response):
        yield {
            "sku": response.css("td.sku::text").get(),
            "name": response.css("h1::text").get(),
            "brand": response.css("p.brand::text").get(),
            "price": Decimal(response.css("p.price::text").get().lstrip("£")),
            "rating": float(response.css("p.rating::attr(data-value)").get()),
            "stock": int(response.css("td.stock::text").re_first(r"\d+")),
            "reviews": int(response.css("td.count::text").get()),
            "category": response.css("span.category::text").get(),
        }
        yield from self.parse(response)
