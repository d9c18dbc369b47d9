"""The generated shop with the least that does the job on our own packages: python bare_shop.py START CONCURRENCY OUT.

aiohttp fetches, selectolax parses, SQLite keeps the items, in one transaction at the end. Nothing of what a crawler is for:
no robots.txt, limits, retries, deadlines, decoding, queue on disk, provenance. It is no peer but a mark: what these packages
cost by themselves, below which nothing that is built on them can come.
"""

import asyncio
import sqlite3
import sys
from urllib.parse import urljoin

import aiohttp
from selectolax.lexbor import LexborHTMLParser

TABLE = "CREATE TABLE product (sku, name, brand, price, rating, stock, reviews, category)"


def fields(tree: LexborHTMLParser) -> tuple[object, ...]:
    def text(css: str) -> str:
        return tree.css_first(css).text(strip=True)

    return (
        text("td.sku"),
        text("h1"),
        text("p.brand"),
        text("p.price").lstrip("£"),
        float(tree.css_first("p.rating").attributes["data-value"]),
        int("".join(filter(str.isdigit, text("td.stock")))),
        int(text("td.count")),
        text("span.category"),
    )


async def main(start: str, concurrency: int, out: str) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    seen = {start}
    rows: list[tuple[object, ...]] = []
    queue.put_nowait(start)

    async def worker() -> None:
        while True:
            url = await queue.get()
            try:
                async with client.get(url) as response:
                    body = await response.read()
                tree = LexborHTMLParser(body.decode())
                if tree.css_first("article.item"):
                    rows.append(fields(tree))
                for node in tree.css("a.product, a.category"):
                    link = urljoin(url, node.attributes["href"])
                    if link not in seen:
                        seen.add(link)
                        queue.put_nowait(link)
            finally:
                queue.task_done()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as client:
        workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
        await queue.join()
        for task in workers:
            task.cancel()
    with sqlite3.connect(out) as db:
        db.execute(TABLE)
        db.executemany("INSERT INTO product VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
