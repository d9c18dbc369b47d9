"""The generated shop with no framework, httpx, selectolax and aiosqlite: python plain_shop.py START CONCURRENCY OUT.

What one writes in an afternoon: workers around a queue, a set of what was seen, a commit for every item. No robots.txt,
no retries, no limits, nothing to resume.
"""

import asyncio
import sys
from decimal import Decimal
from urllib.parse import urljoin

import aiosqlite
import httpx
from selectolax.lexbor import LexborHTMLParser

TABLE = "CREATE TABLE product (sku, name, brand, price, rating, stock, reviews, category)"


def fields(tree: LexborHTMLParser) -> tuple[object, ...]:
    def text(css: str) -> str:
        return tree.css_first(css).text(strip=True)

    return (
        text("td.sku"),
        text("h1"),
        text("p.brand"),
        str(Decimal(text("p.price").lstrip("£"))),
        float(tree.css_first("p.rating").attributes["data-value"]),
        int("".join(filter(str.isdigit, text("td.stock")))),
        int(text("td.count")),
        text("span.category"),
    )


async def main(start: str, concurrency: int, out: str) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    seen = {start}
    queue.put_nowait(start)

    async def worker() -> None:
        while True:
            url = await queue.get()
            try:
                response = await client.get(url)
                response.raise_for_status()
                tree = LexborHTMLParser(response.text)
                if tree.css_first("article.item"):
                    await db.execute("INSERT INTO product VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fields(tree))
                    await db.commit()
                for node in tree.css("a.product, a.category"):
                    link = urljoin(url, node.attributes["href"])
                    if link not in seen:
                        seen.add(link)
                        queue.put_nowait(link)
            finally:
                queue.task_done()

    async with httpx.AsyncClient() as client, aiosqlite.connect(out) as db:
        await db.execute(TABLE)
        workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
        await queue.join()
        for task in workers:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
