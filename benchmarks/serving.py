"""The books site, served from one core by a process of its own.

The server is nginx where it is installed, else the standard library's (slower: then only CPU per page means
something, not pages/s). It ends when its parent closes its standard input or dies, and after LONGEST seconds
in any case. Its access log (`STATUS PATH` a line) is the witness of what a crawler really fetched.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ARCHIVE", "PROJECT", "WORK", "BenchmarkError", "Server", "pinned", "serving", "site_folder"]

PROJECT = Path(__file__).resolve().parent.parent
WORK = PROJECT / "benchmarks" / ".work"
ARCHIVE = PROJECT.parent / "shared" / "sites" / "books.tar.xz"
#: Seconds after which a server ends whatever happens.
LONGEST = 3600.0

NGINX = """\
daemon off; master_process off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/nginx.err;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; text/css css; application/json json; text/plain txt; }}
    log_format witness '$status $request_uri'; access_log {run}/access.log witness;
    sendfile on; tcp_nopush on; {temporary}
    server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""


class BenchmarkError(Exception):
    """What a person can put right; said in one sentence."""


@dataclass(frozen=True)
class Server:
    """A server that stands: its address, what it is, and its access log."""

    url: str
    netloc: str
    software: str
    log: Path

    def mark(self) -> int:
        """Where the log ends now; give it to `served`."""
        return self.log.stat().st_size

    def served(self, mark: int) -> tuple[int, int]:
        """Pages answered with 200 since `mark`: (answers, distinct paths); robots.txt is not a page."""
        self._settle()
        with self.log.open(encoding="utf-8") as log:
            log.seek(mark)
            lines = [line.split(" ", 1) for line in log.read().splitlines()]
        paths = [path for status, path in lines if status == "200" and path != "/robots.txt"]
        return len(paths), len(set(paths))

    def _settle(self) -> None:
        """A client may have the last answer before the server has logged it."""
        size = -1
        while size != (size := self.mark()):
            time.sleep(0.05)


def site_folder(given: str | None) -> Path:
    """The folder of the books site: the one given, or what the archive beside the project holds."""
    if given is not None:
        folder = Path(given).resolve()
    elif ARCHIVE.is_file():
        folder = _unpacked(ARCHIVE, WORK / "site") / "books"
    else:
        raise BenchmarkError("there is no books site beside the project; name its folder: --site DIR")
    if not (folder / "index.html").is_file():
        raise BenchmarkError(f"{folder} has no index.html; --site DIR must be the folder of the books site")
    return folder


def _unpacked(archive: Path, into: Path) -> Path:
    if not into.is_dir():
        part = into.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        part.rename(into)
    return into


def pinned(core: int | None, command: list[str]) -> list[str]:
    """The command, tied to one core; as it is where that cannot be done (`core` None)."""
    return command if core is None else ["taskset", "-c", str(core), *command]


@contextmanager
def serving(site: Path, core: int | None) -> Iterator[Server]:
    """Serve `site` on a free port of 127.0.0.1, tied to `core`, until the block ends."""
    run = WORK / "server"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    (run / "access.log").touch()
    nginx = _nginx()
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.serving", str(site), str(port), str(run), nginx or "-"]
    process = subprocess.Popen(
        pinned(core, command), stdin=subprocess.PIPE, cwd=PROJECT, start_new_session=True, env=_environment()
    )
    try:
        _wait_for(port, process, run)
        netloc = f"127.0.0.1:{port}"
        yield Server(f"http://{netloc}/index.html", netloc, _software(nginx), run / "access.log")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def _nginx() -> str | None:
    """Where nginx is; on Debian it is outside an ordinary user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _software(nginx: str | None) -> str:
    if nginx is None:
        return f"python http.server {sys.version.split()[0]}"
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: ").replace("/", " ")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes], run: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    said = run / "nginx.err"
    why = said.read_text().strip() if said.is_file() else "it gave no reason"
    raise BenchmarkError(f"the server did not start: {why}")


def _serve(site: str, port: int, run: str, nginx: str) -> None:
    """The server's process: serve until standard input ends."""
    if nginx == "-":
        _serve_with_python(site, port, Path(run))
    else:
        _serve_with_nginx(site, port, Path(run), nginx)


def _serve_with_nginx(site: str, port: int, run: Path, nginx: str) -> None:
    conf = run / "nginx.conf"
    conf.write_text(NGINX.format(run=run, port=port, site=site, temporary=_temporary_paths(nginx, run)))
    process = subprocess.Popen([nginx, "-p", str(run), "-c", str(conf), "-e", str(run / "nginx.err")])
    try:
        _until_told(process)
    finally:
        process.terminate()
        process.wait(5)


def _temporary_paths(nginx: str, run: Path) -> str:
    """Keep nginx out of folders an ordinary user may not write; directives only for the modules it has."""
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    absent = set(re.findall(r"--without-http_(\w+)_module", built))
    names = ["client_body", *({"proxy", "fastcgi", "uwsgi", "scgi"} - absent)]
    return " ".join(f"{name}_temp_path {run}/{name};" for name in names)


def _until_told(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < until:
        if select.select([sys.stdin], [], [], 1)[0]:
            return


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files over keep-alive connections, with the same log as nginx writes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    log: Path
    lock = threading.Lock()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        with self.lock, self.log.open("a", encoding="utf-8") as log:
            log.write(f"{int(code)} {self.path}\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr; log_request has the witness."""


class _Listening(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def _serve_with_python(site: str, port: int, run: Path) -> None:
    _Handler.log = run / "access.log"
    server = _Listening(("127.0.0.1", port), functools.partial(_Handler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    select.select([sys.stdin], [], [], LONGEST)
    server.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
