"""W3: 20 hosts whose first name lookup fails with EAI_AGAIN, and one name that does not exist."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["RIGHT", "replay"]

RIGHT: str = "20 of 20 pages, each name looked up twice; the missing name was looked up 3 times"

#: Runs by itself, since the lookup has to be another one before the package is imported.
SCRIPT = """
import socket, sys
from collections import Counter
asked, lookup = Counter(), socket.getaddrinfo

def flaky(host, *more, **options):
    if host == "127.0.0.1":
        return lookup(host, *more, **options)
    asked[host] += 1
    if host == "missing.test":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if asked[host] == 1:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return lookup("127.0.0.1", *more, **options)

socket.getaddrinfo = flaky
from scraper import Page, Spider, run

class Wide(Spider):
    robots = False
    rate = None
    def parse(self, page: Page):
        yield {"url": page.url}

port, folder = sys.argv[1:]
starts = [f"http://h{n}.test:{port}/" for n in range(20)] + [f"http://missing.test:{port}/"]
pages = run(Wide, db=f"{folder}/wide.db", start=starts).counters.get("pages", 0)
twice = set(asked[f"h{n}.test"] for n in range(20))
times = {1: "once", 2: "twice"}.get(next(iter(twice)), "often") if len(twice) == 1 else "unevenly"
print(f"{pages} of 20 pages, each name looked up {times}; "
      f"the missing name was looked up {asked['missing.test']} times")
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<p>x</p>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def replay() -> str:
    """Crawl the 21 hosts, and say how often each name was looked up."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", SCRIPT, str(server.server_port), folder]
            try:
                ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            except subprocess.TimeoutExpired:
                return "no end within 60 s"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return ended.stdout.strip() or ended.stderr.strip().rpartition("\n")[2]


if __name__ == "__main__":
    print(replay())
