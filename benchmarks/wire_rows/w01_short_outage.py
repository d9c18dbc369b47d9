"""W1: `/` links to 400 pages, and the server process is gone for a while: here for 12 s at 20/s (the row: 30 s at 2/s)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

RIGHT = "401 of 401 pages, exit 0"

PAGES, BEGINS, LASTS = 400, 1.5, 12.0
_SPIDER = """
from scraper import Spider

class Restart(Spider):
    rate = "20/s"
    robots = False
    def parse(self, page):
        yield {"url": page.url}
        yield from page.follow_all("a")
"""
_LINKS = "".join(f'<a href="/{i}">x</a>' for i in range(1, PAGES + 1))


class _Server:
    """Serves pages, takes no connections for a while, and serves again on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.StreamWriter] = set()
        self._asked: asyncio.Event | None = None
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._restart())

    async def _restart(self) -> None:
        self._asked = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._asked.wait()
        await asyncio.sleep(BEGINS)
        server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.sleep(LASTS)
        again = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        await again.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                if self._asked is not None:
                    self._asked.set()
                body = (_LINKS if request.startswith(b"GET / ") else "x").encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()
        finally:
            self._connections.discard(writer)


def replay() -> str:
    """Crawl it, and say what was seen."""
    server = _Server()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "restart.py").write_text(_SPIDER)
        url, db = f"http://127.0.0.1:{server.port}/", str(Path(folder, "a.db"))
        command = [
            sys.executable,
            "-m",
            "scraper",
            "crawl",
            "restart.py:Restart",
            "--start",
            url,
            "--db",
            db,
            "-q",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=58, check=False)
        query = [
            sys.executable,
            "-m",
            "scraper",
            "query",
            db,
            "select state, count(*) from requests group by 1",
            "--csv",
        ]
        states = subprocess.run(
            query, cwd=folder, capture_output=True, text=True, timeout=30, check=False
        ).stdout
    found = dict(line.split(",") for line in states.split()[1:])
    return f"{found.get('done', 0)} of {PAGES + 1} pages, exit {done.returncode}"


if __name__ == "__main__":
    print(replay())
