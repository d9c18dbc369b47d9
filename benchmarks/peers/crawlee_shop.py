"""The generated shop, with Crawlee's ParselCrawler: python crawlee_shop.py START CONCURRENCY OUT."""

import asyncio
import sys

from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext


async def main(start: str, concurrency: int, out: str) -> None:
    settings = ConcurrencySettings(desired_concurrency=concurrency, max_concurrency=concurrency)
    crawler = ParselCrawler(concurrency_settings=settings, respect_robots_txt_file=True)

    async def follow(context: ParselCrawlingContext) -> None:
        await context.enqueue_links(selector="a.product", label="product", strategy="all")
        await context.enqueue_links(selector="a.category", strategy="all")

    @crawler.router.default_handler
    async def category(context: ParselCrawlingContext) -> None:
        context.log.info(f"Processing {context.request.url}")
        await follow(context)

    @crawler.router.handler("product")
    async def product(context: ParselCrawlingContext) -> None:
        context.log.info(f"Processing {context.request.url}")
        css = context.selector.css
        await context.push_data(
            {
                "sku": css("td.sku::text").get(),
                "name": css("h1::text").get(),
                "brand": css("p.brand::text").get(),
                "price": css("p.price::text").get().lstrip("£"),
                "rating": float(css("p.rating::attr(data-value)").get()),
                "stock": int(css("td.stock::text").re_first(r"\d+")),
                "reviews": int(css("td.count::text").get()),
                "category": css("span.category::text").get(),
            }
        )
        await follow(context)

    await crawler.run([start])
    await crawler.export_data(out)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
