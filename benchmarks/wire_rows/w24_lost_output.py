"""W24: a crawl with stderr on a full disk, a query with stdout on one, and a Ctrl-C while a callback keeps the loop."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

__all__ = ["RIGHT", "replay"]

RIGHT = (
    "crawl 2>/dev/full: exit 130, run stopped · query >/dev/full: exit 6, one line that names stdout"
    " · Ctrl-C in a blocked callback: answered within a second"
)

SPIDER = """
import time
from scraper import Page, Spider

class Site(Spider):
    start_urls = ["{start}"]
    robots = False
    rate = None

    def parse(self, page: Page):
        open("entered", "w").close()
        time.sleep({blocked})
        yield {{"url": page.url}}
"""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>x</p>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "scraper", *words]


def _state(path: Path) -> str:
    if not path.exists():
        return "no run"
    with closing(sqlite3.connect(path)) as conn:
        return str(conn.execute("SELECT state FROM _runs").fetchone()[0])


def _on_full_disks(folder: str) -> str:
    with open("/dev/full", "w") as full:
        crawl = subprocess.run(
            _command("crawl", "site.py", "--db", "lost.db"), cwd=folder, stderr=full, timeout=30, check=False
        )
        subprocess.run(
            _command("crawl", "site.py", "--db", "good.db"),
            cwd=folder, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        query = subprocess.run(
            _command("query", "good.db", "site"),
            cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
    said = query.stderr.splitlines()[0] if query.stderr else "nothing said"
    return (
        f"crawl 2>/dev/full: exit {crawl.returncode}, run {_state(Path(folder, 'lost.db'))}"
        f" · query >/dev/full: exit {query.returncode}, {said}"
    )


def _interrupted(folder: str) -> str:
    Path(folder, "entered").unlink(missing_ok=True)
    with open(Path(folder, "said"), "w+") as said:
        process = subprocess.Popen(_command("crawl", "blocked.py"), cwd=folder, stderr=said)
        while not Path(folder, "entered").exists():
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        began = time.monotonic()
        while (waited := time.monotonic() - began) < 3.0:
            if "stopping" in Path(said.name).read_text():
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        process.wait(timeout=20)
    answered = "answered within a second" if waited < 1.0 else f"nothing said in {waited:.0f} s"
    return f"Ctrl-C in a blocked callback: {answered}"


def replay() -> str:
    """What the three commands came to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    start = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "site.py").write_text(SPIDER.format(start=start, blocked=0))
            Path(folder, "blocked.py").write_text(SPIDER.format(start=start, blocked=15))
            return f"{_on_full_disks(folder)} · {_interrupted(folder)}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    print(replay())
