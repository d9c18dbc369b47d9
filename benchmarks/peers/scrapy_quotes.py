"""The quotes (quotes.toscrape.com), with Scrapy: quotes, and the pages of their authors."""

import scrapy
from generated import SETTINGS


class QuotesSpider(scrapy.Spider):
    name = "quotes"
    custom_settings = SETTINGS

    def __init__(self, start, hosts, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]
        self.allowed_domains = hosts.split(",")

    def parse(self, response):
        for quote in response.css("div.quote"):
            yield {
                "text": quote.css("span.text::text").get().strip("“”"),
                "author": quote.css("small.author::text").get(),
                "tags": quote.css("a.tag::text").getall(),
            }
        yield from response.follow_all(css="div.quote a[href^='/author/']", callback=self.parse_author)
        yield from response.follow_all(css="li.next a")

    def parse_author(self, response):
        # A feed has no tables: what is compared are the quotes.
        yield {
            "name": response.css("h3.author-title::text").get().strip(),
            "born": response.css("span.author-born-date::text").get(),
            "birthplace": response.css("span.author-born-location::text").get().removeprefix("in "),
        }
