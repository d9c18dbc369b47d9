"""The configuration of a project: its file, SCRAPER_* variables, the order in which they count, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper import Page, Spider, Stop
from scraper.api import Crawl
from scraper.core.models import Limit, Tls
from scraper.errors import SettingsError
from scraper.project.config_file import Configuration, _key_lines, read_configuration
from scraper.project.folder import default_database, project_of
from scraper.settings import Layers, Settings
from scraper.settings.parsers import _LIMIT
from scraper.testing import Site, simulate


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(
    text: str, environment: Mapping[str, str] | None = None, name: str = "scraper.toml"
) -> Configuration:
    Path(name).write_text(text)
    return read_configuration(Path.cwd(), environment or {})


def settings_of(configuration: Configuration, spider: str = "books", **own: Any) -> Settings:
    return Settings.of(*configuration.layers(spider).around(("class", own), ("flags", {})))


# ------------------------------------------------------------------------------------------- what counts

FILE = 'rate = "5/s"\nconcurrency = 3\nretries = 5\n[spider.books]\nconcurrency = 7\nretries = 6\n'


def test_the_order_is_defaults_file_class_spider_table_environment_flags() -> None:
    """Each of the six places wins over those before it, and what it does not name stays."""
    configuration = configured(FILE, {"SCRAPER_RETRIES": "8"})
    layers = configuration.layers("books").around(
        ("class", {"concurrency": 4, "rate": "6/s"}), ("flags", {"delay": "2s"})
    )
    made = Settings.of(*layers)
    assert (made.in_flight, str(made.rate), made.concurrency, made.retries, made.delay) == (
        64,
        "6/s",
        7,
        8,
        2.0,
    )
    assert Settings.of(*layers[:-1], ("flags", {"retries": 1})).retries == 1
    assert settings_of(configuration, "quotes").concurrency == 3


def test_tables_become_limits_and_headers() -> None:
    """`[limits]` holds hosts as tables or rates, `[headers]` texts; times in them are read as everywhere."""
    made = settings_of(
        configured(
            '[headers]\nX-Key = "k"\n[limits]\n"*" = "1/s"\n[limits."API.x.com"]\nrate = "none"\ndelay = "500ms"\nrobots = false\n'
        )
    )
    assert dict(made.headers) == {"X-Key": "k"}
    limit = made.limits["api.x.com"]
    assert (limit.rate, limit.delay, limit.robots, limit.concurrency) == ("none", 0.5, False, None)
    assert made.limits["*"].rate == "1/s"


def test_an_entry_of_tls_is_read_as_a_whole() -> None:
    """`key` is valid beside `cert` alone, in either order, as it is on the class."""
    text = (
        '[tls."a.test"]\nkey = "b.key"\ncert = "b.pem"\n[tls]\n"b.test" = {cert = "c.pem", key = "c.key"}\n'
    )
    made = settings_of(configured(text))
    assert dict(made.tls) == {
        "a.test": Tls(cert="b.pem", key="b.key"),
        "b.test": Tls(cert="c.pem", key="c.key"),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scraper.toml", 'rate = "7/s"'),
        ("scraper.toml", '\ufeffrate = "7/s"\r\n'),
        ("pyproject.toml", '[project]\nname = "x"\n[tool.scraper]\nrate = "7/s"\n'),
        ("pyproject.toml", 'tool.scraper.rate = "7/s"'),
        ("pyproject.toml", '[tool.scraper.spider.books]\nrate = "7/s"'),
    ],
)
def test_either_file_is_read(name: str, text: str) -> None:
    """scraper.toml holds the keys at its top, pyproject.toml below [tool.scraper]."""
    assert str(settings_of(configured(text, name=name)).rate) == "7/s"


def test_no_file_and_foreign_variables_configure_nothing() -> None:
    """Without a file, with an empty one, or with a pyproject.toml of other tools, the defaults hold."""
    other = {"PATH": "/bin", "_SCRAPER_COMPLETE": "bash_complete", "MY_SCRAPER_RATE": "1/s"}
    assert read_configuration(Path.cwd(), other) == Configuration()
    Path("scraper.toml").touch()
    assert configured('[tool.other]\nrate = "1/s"', other, "pyproject.toml") == Configuration()


def test_a_variable_is_read_as_a_flag_is() -> None:
    """SCRAPER_<SETTING> holds the text that `--set` would."""
    made = settings_of(
        configured("", {"SCRAPER_RATE": "30/min", "SCRAPER_ACCEPT": "404,410", "SCRAPER_ROBOTS": "no"})
    )
    assert (str(made.rate), made.accept, made.robots) == ("30/min", (404, 410), False)


class Books(Spider[Any]):
    start_urls = ("https://books.example.com/",)
    rate = "3/s"

    def parse(self, page: Page) -> Any:
        return None


def test_a_program_reads_no_file_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl made in Python has the settings of its class and its own, whatever lies around it."""
    Path("scraper.toml").write_text('concurrency = 9\n[spider.books]\nrate = "9/s"')
    monkeypatch.setenv("SCRAPER_RATE", "9/s")
    made = Crawl(Books, db="books.db").settings
    assert (str(made.rate), made.concurrency) == ("3/s", 2)


def test_layers_stand_around_the_class() -> None:
    """Layers given to a crawl lose to the class below it, win above it, and lose to `settings` always."""
    layers = Layers((("file", {"rate": "1/s", "retries": 9}),), (("variable", {"delay": 4, "in_flight": 5}),))
    made = Crawl(Books, db="books.db", layers=layers, settings={"in_flight": 6}).settings
    assert (str(made.rate), made.retries, made.delay, made.in_flight) == ("3/s", 9, 4.0, 6)


class Stopping(Books):
    go_on = False

    def parse(self, page: Page) -> Any:
        if not type(self).go_on:
            raise Stop("for now")


def test_a_resume_keeps_the_flags_and_takes_what_is_configured_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags are stored with the run; a file or variable that changed in between counts as it is now."""
    site = Site({Stopping.start_urls[0]: "<p>"})
    then = Layers((), (("file", {"retries": 7, "in_flight": 8}),))
    assert simulate(Stopping, site, db="s.db", layers=then, settings={"rate": "50/s"}).summary.exit_code == 5
    monkeypatch.setattr(Stopping, "go_on", True)
    now = Layers((), (("file", {"retries": 5, "rate": "1/s"}),))
    crawl = Crawl(Stopping, db="s.db", layers=now, transport=site, inline=True, resume="must")
    assert asyncio.run(crawl.run()).state == "finished"
    assert (str(crawl.settings.rate), crawl.settings.retries, crawl.settings.in_flight) == ("50/s", 5, 64)


# ------------------------------------------------------------------------------------------- what is refused

WRONG = {
    "unknown key": ("\n\nrat = 3", 'scraper.toml:3: unknown setting \'rat\'. Did you mean "rate"?'),
    "unknown key of a spider": ("[spider.books]\nretrys = 3", 'scraper.toml:2: unknown setting \'retrys\'. Did you mean "retries"?'),
    "unknown key of another spider": ("[spider.x]\n\nretrys = 3", "scraper.toml:3: unknown setting 'retrys'"),
    "table": ("[tool.scraper]\nrate = 1", "scraper.toml:1: the settings stand at the top of scraper.toml, in no table"),
    "spiders": ("[spiders.books]\nrate = 1", "scraper.toml:1: unknown setting 'spiders'. Did you mean \"spider\"?"),
    "wrong value": ("# fast\nrate = 'fast'", "scraper.toml:2: rate = 'fast' is not valid; expected a rate such as"),
    "wrong type": ("robots = 3", "scraper.toml:1: robots = 3 is not valid; expected true or false"),
    "list": ("rate = [1]", "scraper.toml:1: rate = [1] is not valid; expected a rate"),
    "words": ("allowed = 3", "scraper.toml:1: allowed = 3 is not valid; expected a list of words"),
    "statuses": ("accept = ['x']", "scraper.toml:1: accept = ['x'] is not valid; expected HTTP statuses"),
    "share": ("max_failed = 'all'", "expected a share from 0 to 1"),
    "point": ("decimal_point = [1]", "scraper.toml:1: decimal_point = [1] is not valid"),
    "key of a limit": ("[limits.a]\nrate = 1\n[limits.'b.c']\nrte = 1", "scraper.toml:4: limits of b.c: unknown key 'rte'. Did you mean \"rate\"?"),
    "value of a limit": ("[limits.a]\n\nconcurrency = 'x'", "scraper.toml:3: limits of a: concurrency = 'x' is not valid; expected a whole number"),
    "rate of a limit": ("[limits]\na = '5/s'\nb = 'x'", "scraper.toml:3: limits of b: rate = 'x' is not valid; expected a rate"),
    "limits": ("limits = 3", "scraper.toml:1: limits = 3 is not valid; expected a table of hosts"),
    "tls": ("[tls.'a.b']\nmin = '1.0'\n[tls.'c.d']\nkey = 'k.pem'", "scraper.toml:3: tls of c.d: {'key': 'k.pem'} is not valid; expected a table of min"),
    "header": ("[headers]\nA = 'ok'\nB = 3", "scraper.toml:3: headers: B is not valid; expected text in one line"),
    "header name": ("[headers]\n'a b' = 'x'", "scraper.toml:2: headers: 'a b' is no name of a header"),
    "headers": ("headers = 'X-Key: secret'", "scraper.toml:1: headers is not valid; expected a table"),
    "spider": ("spider = 'books'", "scraper.toml:1: the settings of a spider stand in a table of its own: [spider.NAME]"),
    "spider key": ("[spider]\nrate = 3", "scraper.toml:2: settings of one spider stand in a table [spider.NAME]"),
    "no value": ("rate = 1\nrobots =", "scraper.toml:2: not TOML: Invalid value"),
    "twice": ("rate = 1\nrate = 2", "scraper.toml:2: not TOML: Cannot overwrite a value"),
    "not closed": ('a = """\nb', "scraper.toml:2: not TOML: Unterminated string"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(WRONG))
def test_every_mistake_is_named_with_its_line(fault: str) -> None:
    """The error says file and line, the key, and what is expected or was meant; one line, and no secret."""
    text, told = WRONG[fault]
    with pytest.raises(SettingsError) as refused:
        configured(text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_mistakes_in_pyproject_have_their_own_line() -> None:
    """Lines are those of the whole file, and the table is named as it is written there."""
    with pytest.raises(SettingsError, match=r"^pyproject\.toml:6: unknown setting 'rat'"):
        configured("[project]\nlist = [\n  1,\n]\n[tool.scraper]\nrat = 3", name="pyproject.toml")
    with pytest.raises(SettingsError, match=r"pyproject\.toml:1: .*\[tool\.scraper\.spider\.NAME\]"):
        configured("tool.scraper.spider = 3", name="pyproject.toml")
    with pytest.raises(SettingsError, match=r"pyproject\.toml: \[tool\.scraper\] must be a table"):
        configured("tool.scraper = 3", name="pyproject.toml")


def test_two_configurations_are_refused() -> None:
    """When both files hold something, the error names both, with the line of the table."""
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n[tool.scraper]\nrate = 1")
    with pytest.raises(SettingsError) as refused:
        configured("rate = 2")
    assert str(refused.value) == "two configurations: scraper.toml and pyproject.toml:3; keep one of them"


def test_files_that_cannot_be_read_are_named() -> None:
    """A folder of that name, or a file in another encoding: the file and what is wrong."""
    Path("scraper.toml").mkdir()
    with pytest.raises(SettingsError, match=r"^scraper\.toml cannot be read: Is a directory$"):
        read_configuration(Path.cwd(), {})
    Path("scraper.toml").rmdir()
    Path("scraper.toml").write_bytes(b'contact = "\xe9"')
    with pytest.raises(SettingsError, match=r"^scraper\.toml is not in UTF-8, as TOML must be$"):
        read_configuration(Path.cwd(), {})


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SCRAPER_RAT", "1", 'environment: no setting is named SCRAPER_RAT. Did you mean "SCRAPER_RATE"?'),
        ("SCRAPER_", "1", "environment: no setting is named SCRAPER_."),
        ("SCRAPER_RATE", "fast", "SCRAPER_RATE: rate = 'fast' is not valid; expected a rate"),
        ("SCRAPER_RATE", "", "SCRAPER_RATE: rate = '' is not valid"),
        ("SCRAPER_LIMITS", "a=1", "SCRAPER_LIMITS: limits = 'a=1' is not valid; expected a table of hosts"),
        ("SCRAPER_HEADERS", "secret", "SCRAPER_HEADERS: headers is not valid; expected a table"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, told: str) -> None:
    """An unknown SCRAPER_ variable, or a wrong value of one, is an error that names it."""
    with pytest.raises(SettingsError) as refused:
        configured("", {variable: value})
    assert str(refused.value).startswith(told)


def test_a_table_for_no_spider_is_refused_when_one_was_meant() -> None:
    """[spider.boks] is a misspelt books, unless there is a spider of that name."""
    configuration = configured("[spider.boks]\nrate = 1")
    with pytest.raises(
        SettingsError, match=r'^scraper\.toml:2: no spider "boks". Did you mean \[spider\.books\]\?$'
    ):
        configuration.layers("books")
    assert configuration.layers("books", lambda: {"boks"}) == Layers()
    assert configuration.layers("quotes") == Layers()
    Path("scraper.toml").unlink()
    configuration = configured("[tool.scraper.spider.boks]\nrate = 1", name="pyproject.toml")
    with pytest.raises(SettingsError, match=r"Did you mean \[tool\.scraper\.spider\.books\]\?$"):
        configuration.layers("books")


def test_every_field_of_a_limit_can_be_configured() -> None:
    """What `Limit` has in Python, an entry of `limits` in a file may have too, and nothing else."""
    assert set(_LIMIT) == {field.name for field in fields(Limit)}


# ------------------------------------------------------------------------------------------- lines

KEY = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
VALUE = st.sampled_from(
    [
        "1",
        '"x"',
        "[\n  1,\n  2,\n]",
        '"""\n[no]\nkey = 1\n"""',
        "{a = 1, b.c = 2}",
        "'''\n]\n'''",
        "[[1], [\n2]]",
    ]
)


@given(st.lists(st.tuples(KEY, VALUE, st.integers(0, 2)), unique_by=lambda entry: entry[0], max_size=6))
def test_the_line_of_every_key_is_known(entries: list[tuple[str, str, int]]) -> None:
    """Whatever stands between them (comments, arrays and texts of many lines), a key's line is where it begins."""
    text, expected = "[t.u]\n", {("t", "u"): 1}
    for key, value, blank in entries:
        text += "# [x]\n" * blank
        expected["t", "u", key] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    lines = _key_lines(text)
    assert {way: line for way, line in lines.items() if len(way) in {2, 3}} == expected


def test_headers_of_all_forms_have_a_line() -> None:
    """Dotted, quoted and repeated table names, and dotted keys, are known by their parts."""
    lines = _key_lines('a.b = 1\n[ c . "d.e" ]\nx = 1\n[[f]]\ny = 2\n[[f]]\ny = 3\n[c.g]\n')
    assert lines == {
        ("a",): 1, ("a", "b"): 1, ("c",): 2, ("c", "d.e"): 2, ("c", "d.e", "x"): 3,
        ("f",): 4, ("f", "y"): 5, ("c", "g"): 8,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------- the project


def test_the_project_of_a_file_is_found_upward_from_it(folder: Path) -> None:
    """A file's own project counts, wherever the command is given; a file in none belongs to the one around here."""
    (folder / "here").mkdir()
    (folder / "here" / "scraper.toml").touch()
    (folder / "shop" / "spiders" / "deep").mkdir(parents=True)
    (folder / "loose").mkdir()
    inside = folder / "here"
    assert project_of("shop/spiders/deep/a.py") == folder / "shop"
    assert project_of("shop/spiders/a.py:Books") == folder / "shop"
    assert project_of("loose/a.py") == folder
    assert project_of("books", near=inside) == inside
    assert project_of("books") == folder
    assert default_database("books", project_of("shop/spiders/a.py")) == "shop/data/books.db"
