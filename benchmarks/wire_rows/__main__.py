"""Replay reported faults of the wire against this version, and against another checkout beside it.

    python -m benchmarks.wire_rows                       # every row, this version
    python -m benchmarks.wire_rows w13 w19               # some rows
    python -m benchmarks.wire_rows --before ../checkout  # each row twice: that version, then this one

A row is a module `wNN_name.py` with a docstring (its input), `RIGHT` (what should be seen) and `replay()`, which
runs the input and returns what was seen. Each replay has a process of its own, which may take two minutes. Another
checkout is run by the interpreter in its `.venv`, where it has one: the versions depend on different packages.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import benchmarks.wire_rows as rows

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
#: Seconds one replay may take.
LIMIT = 120


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wire_rows", description=__doc__.splitlines()[0]
    )
    parser.add_argument("rows", nargs="*", help="the beginnings of module names; none for all")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    arguments = parser.parse_args()
    for name in _names(arguments.rows):
        module = importlib.import_module(f"benchmarks.wire_rows.{name}")
        print(f"\n{name}  {(module.__doc__ or '').splitlines()[0]}")
        print(f"  right   {module.RIGHT}")
        if arguments.before is not None:
            print(f"  before  {_replayed(name, arguments.before.resolve())}")
        print(f"  now     {_replayed(name, ROOT)}", flush=True)


def _names(wanted: list[str]) -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(rows.__path__) if module.name[1:3].isdigit()]
    return [name for name in names if not wanted or name.startswith(tuple(wanted))]


def _replayed(name: str, checkout: Path) -> str:
    """What a replay says when `scraper` is that of `checkout`; the row itself is always ours."""
    # The package of the rows is imported from here, then all else, `scraper` above all, from the checkout.
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import benchmarks.wire_rows;"
        f" sys.path[0] = {str(checkout)!r}; import benchmarks.wire_rows.{name} as row; print(row.replay())"
    )
    # For the commands that a row runs.
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        done = subprocess.run(
            [_python(checkout), "-c", code], env=environment, cwd=checkout, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"nothing within {LIMIT} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def _python(checkout: Path) -> str:
    """The interpreter of another checkout, which has what that version depends on; ours where it has none."""
    theirs = checkout / ".venv" / "bin" / "python"
    return str(theirs) if checkout != ROOT and theirs.is_file() else sys.executable


if __name__ == "__main__":
    main()
