"""How long a command takes before it does anything, and what an installation weighs.

    python -m benchmarks.startup            # times and sizes
    python -m benchmarks.startup --no-size  # without the fresh environment, which pip fills from its index

Each round runs all commands in turn (A B C A B C …), so that a busy machine slows all of them. `python -c pass` is
the unit: its ratio says more than milliseconds of a machine nobody knows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.measure import cpu_model, run
from benchmarks.serving import BenchmarkError

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
#: The bars: DESIGN's --help under 150 ms, and what an installation may weigh.
HELP_MS, PACKAGES, MEGABYTES = 150, 32, 60

SPIDER = """
from scraper import Spider

class First(Spider):
    start_urls = ["http://127.0.0.1:{port}/"]

    def parse(self, page):
        yield {{"url": page.url}}
"""


class _First(BaseHTTPRequestHandler):
    """Answers, and keeps the moment of the first request of each crawl."""

    moments: list[float] = []

    def do_GET(self) -> None:
        self.moments.append(time.perf_counter())
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"<p>")

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def _site() -> Iterator[int]:
    """A server on loopback; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _First)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Times:
    """Milliseconds of one command, round by round: wall time, and CPU time of its process."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def _environment() -> dict[str, str]:
    """Only this checkout, and no setting of whoever measures."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRAPER_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def measure(rounds: int, folder: Path, port: int) -> dict[str, Times]:
    """Run the commands in turn; the first round, which writes byte code, is left out."""
    (folder / "first.py").write_text(SPIDER.format(port=port))
    # What the installed `scraper` does; `python -m scraper` takes a little longer.
    scraper = [sys.executable, "-c", "from scraper.cli import main; main()"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "scraper --help": [*scraper, "--help"],
        "scraper crawl --help": [*scraper, "crawl", "--help"],
        "scraper crawl, to its first request": [*scraper, "-C", str(folder), "crawl", "first.py", "-q"],
    }
    times = {name: Times() for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            _First.moments.clear()
            begun = time.perf_counter()
            used = run(command, None, _environment(), folder / "said")
            wall = (_First.moments[0] - begun) if _First.moments else used.wall
            if number:
                times[name].wall.append(1000 * wall)
                times[name].cpu.append(1000 * used.cpu)
    return times


def table(times: dict[str, Times]) -> str:
    unit = times["python -c pass"]
    lines = [
        "| command | ms | least | ms over the interpreter | ratio to it | CPU ms of the whole command |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in times.items():
        over = median(a - b for a, b in zip(one.wall, unit.wall, strict=True))
        ratio = median(a / b for a, b in zip(one.wall, unit.wall, strict=True))
        lines.append(
            f"| {name} | {median(one.wall):.0f} | {min(one.wall):.0f} | {over:.0f} | {ratio:.1f} | {median(one.cpu):.0f} |"
        )
    return "\n".join(lines)


def weigh(folder: Path) -> tuple[dict[str, float], float]:
    """Megabytes of each distribution that pip installs for the project, and of all their byte code.

    What a fresh environment has of itself (pip, setuptools) is not ours and is left out.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    before = _distributions(python)
    subprocess.run(
        [python, "-m", "pip", "install", "-q", str(ROOT)], check=True, env=os.environ | {"PYTHONPATH": ""}
    )
    sizes = {name: size for name, size in _distributions(python).items() if name not in before}
    return sizes, sum(sizes.values())


#: Asks an environment for the megabytes of its distributions: every file that pip recorded.
_SIZES = (
    "import json, importlib.metadata as m\n"
    "print(json.dumps({d.name: sum(p.stat().st_size for f in d.files or () if (p := f.locate()).is_file()) / 1e6"
    " for d in m.distributions()}))"
)


def _distributions(python: str) -> dict[str, float]:
    import json

    asked = subprocess.run(
        [python, "-c", _SIZES], check=True, capture_output=True, text=True, env={"PYTHONPATH": ""}
    )
    return {str(name): float(size) for name, size in json.loads(asked.stdout).items()}


def _say_sizes(sizes: dict[str, float], whole: float) -> None:
    largest = sorted(sizes.items(), key=lambda one: -one[1])[:8]
    told = ", ".join(f"{name} {size:.1f}" for name, size in largest)
    print(
        f"\ninstalled: {len(sizes)} packages (at most {PACKAGES}), {whole:.1f} MB with byte code (at most {MEGABYTES})"
    )
    print(f"largest, MB: {told}")


def main() -> int:
    """Print the tables; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--no-size", action="store_true")
    given = options.parse_args()
    print(
        f"{cpu_model()}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}, {given.rounds} rounds\n"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="startup-") as name, _site() as port:
            times = measure(given.rounds, Path(name), port)
            print(table(times))
            missed = min(times["scraper --help"].wall) > HELP_MS  # the least says what it takes undisturbed
            if not given.no_size:
                sizes, whole = weigh(Path(name, "environment"))
                _say_sizes(sizes, whole)
                missed = missed or len(sizes) > PACKAGES or whole > MEGABYTES
    except (BenchmarkError, subprocess.CalledProcessError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
