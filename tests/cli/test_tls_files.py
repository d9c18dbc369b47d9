"""Certificates that `tls` names, as a person meets them: where their files are looked for, and when one is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scraper import Page, Spider
from scraper.api.job import CrawlJob
from tests.support.certificates import AUTHORITY
from tests.support.command_line import Person

SPIDER = """
from scraper import Page, Spider, Tls

class Bank(Spider):
    start_urls = ["https://127.0.0.1:1/"]
    robots = False
    retries = 0
    {tls}

    def parse(self, page: Page):
        return None
"""
ON_THE_CLASS = 'tls = {"127.0.0.1": Tls(cert="keys/me.pem", key="keys/me.key")}'
IN_THE_FILE = '[tls."127.0.0.1"]\ncert = "keys/me.pem"\nkey = "keys/me.key"\n'


@pytest.fixture(params=["class", "file"])
def bank(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """In a folder of a project, below its own, whose certificate is named on the class or in the file."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", sys.path[:])
    is_file = request.param == "file"
    for folder in ("spiders", "keys", "below"):
        (tmp_path / folder).mkdir()
    (tmp_path / "spiders" / "bank.py").write_text(SPIDER.format(tls="" if is_file else ON_THE_CLASS))
    person = Person(tmp_path / "below", "")
    (tmp_path / "below" / "scraper.toml").unlink()
    (tmp_path / "scraper.toml").write_text(IN_THE_FILE if is_file else "")
    return person


def test_relative_paths_count_from_the_folder_of_the_project(bank: Person) -> None:
    """A crawl from a folder below finds the files, whether the class or the configuration names them."""
    mine = AUTHORITY.issue_cert("me@example.com")
    mine.cert_chain_pems[0].write_to_path(bank.folder.parent / "keys" / "me.pem")
    mine.private_key_pem.write_to_path(bank.folder.parent / "keys" / "me.key")
    told = bank.types("crawl", "bank")
    assert (told.code, "no connection to 127.0.0.1:1" in told.err) == (4, True)
    assert bank.types("info", "bank").code == 0


def test_a_certificate_that_cannot_be_read_is_an_error_before_there_is_a_run(bank: Person) -> None:
    """The crawl ends with exit code 2 and no database, info names the file behind all it shows, doctor too."""
    wanted = f"tls of 127.0.0.1: cannot read {bank.folder.parent}/keys/me.pem and "
    told = bank.types("crawl", "bank")
    assert (told.code, wanted in told.err) == (2, True)
    assert not list(bank.folder.parent.rglob("*.db"))
    told = bank.types("info", "bank")
    assert (told.code, wanted in told.err, "tls" in told.out) == (2, True, True)
    told = bank.types("doctor")
    assert (told.code, wanted in told.out) == (2, True)


def test_a_simulation_needs_no_certificate(tmp_path: Path) -> None:
    """A crawl that opens no connection reads no file."""

    class Simulated(Spider):
        start_urls = ("https://a.test/",)
        tls = {"a.test": {"cert": "gone.pem"}}

        def parse(self, page: Page) -> None:
            return None

    assert CrawlJob(Simulated, db=tmp_path / "s.db", inline=True).settings.tls
