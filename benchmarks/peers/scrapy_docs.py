"""A manual, with Scrapy: the title of every page of the host."""

import scrapy
from generated import SETTINGS


class DocsSpider(scrapy.Spider):
    name = "docs"
    custom_settings = SETTINGS

    def __init__(self, start, hosts, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]
        self.allowed_domains = hosts.split(",")

    def parse(self, response):
        yield {
            "url": response.url,
            "title": " ".join(response.css("title::text").get("").split()),
            "h1": response.css("h1::text").get(),
            "links": len(response.css("a[href]")),
        }
        yield from response.follow_all(css="a[href], area[href]")
