"""The generated shop, with Scrapling's spiders: python scrapling_shop.py START HOSTS CONCURRENCY OUT."""

import sys

from scrapling.spiders import Response, Spider

START, HOSTS, CONCURRENCY, OUT = sys.argv[1:]


class ShopSpider(Spider):
    name = "shop"
    start_urls = [START]
    allowed_domains = set(HOSTS.split(","))
    robots_txt_obey = True
    concurrent_requests = int(CONCURRENCY)

    async def parse(self, response: Response):
        for link in response.css("a.product::attr(href)").getall():
            yield response.follow(link, callback=self.parse_product)
        for link in response.css("a.category::attr(href)").getall():
            yield response.follow(link, callback=self.parse)

    async def parse_product(self, response: Response):
        yield {
            "sku": response.css("td.sku::text").get(),
            "name": response.css("h1::text").get(),
            "brand": response.css("p.brand::text").get(),
            "price": response.css("p.price::text").get().lstrip("£"),
            "rating": float(response.css("p.rating::attr(data-value)").get()),
            "stock": int(response.css("td.stock::text").re_first(r"\d+")),
            "reviews": int(response.css("td.count::text").get()),
            "category": response.css("span.category::text").get(),
        }
        async for more in self.parse(response):
            yield more


if __name__ == "__main__":
    result = ShopSpider().start()
    result.items.to_jsonl(OUT)
