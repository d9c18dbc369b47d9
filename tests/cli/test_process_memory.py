"""What the command line asks of the process's memory, seen from outside."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from selectolax.lexbor import LexborHTMLParser
from scraper.cli import memory
if sys.argv[1] == "tuned":
    with memory.undisturbed():
        pass
html = "<div class=row><p>words</p></div>" * 1_000
for _ in range(5):
    LexborHTMLParser(html)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    LexborHTMLParser(html)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a switch of glibc's")
def test_memory_of_one_page_serves_the_next() -> None:
    """Trees that are freed and made again touch no new memory: a page fault or less for each, not dozens."""
    assert faults("tuned") < 200
    assert faults("untuned") > 1_000
