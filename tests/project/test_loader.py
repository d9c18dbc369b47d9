"""Finding spiders: by file, class, module, name and plugin; what is broken is named and breaks nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from conftest import ROOT

from scraper.cli import main
from scraper.errors import SettingsError, SpiderError, UsageError
from scraper.project.loader import load_spider, survey

SPIDER = """
from scraper import Spider

class {name}(Spider):
    '''The {name}.'''
    start_urls = ["http://127.0.0.1:1/"]
    retries = 0
    def parse(self, page): pass
"""


class Project:
    """A folder with spiders, and somebody typing commands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("scraper.toml", "")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def spider(self, file: str, *names: str) -> None:
        self.write(file, "".join(SPIDER.format(name=name) for name in names))

    def plugin(self, package: str, version: str, points: str, code: str) -> None:
        """Install a distribution, as pip would lay it out, into the folder `site`."""
        module = package.replace("-", "_")
        info = f"site/{module}-{version}.dist-info"
        self.write(f"site/{module}/__init__.py", code)
        self.write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        self.write(f"{info}/entry_points.txt", f"[scraper.spiders]\n{points}\n")

    def runs(self, *words: str) -> tuple[int, str, str]:
        """A command in a process of its own, in an environment where `site` is installed."""
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "scraper", *words],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def types(self, *words: str) -> tuple[int, str, str]:
        """A command in this process."""
        out, err = StringIO(), StringIO()
        sys.argv = ["scraper", *words]
        with (
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            main()
        return int(left.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield Project(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


# ------------------------------------------------------------------------------------------- what is broken


def test_one_broken_file_breaks_nothing_else(project: Project) -> None:
    """`list` shows the others and names the broken ones, `crawl books` works, `crawl other` says why not."""
    project.spider("spiders/books.py", "Books")
    project.write("spiders/other.py", "\nimport no_such_module_here\n")
    project.write("spiders/typo.py", "x = 1\ndef (\n")
    project.write("spiders/leaves.py", "import sys\nsys.exit('leaving')\n")
    project.write("spiders/wrong.py", SPIDER.format(name="Wrong") + "    concurency = 3\n")
    code, out, err = project.types("list")
    assert (code, out) == (0, "books  spiders/books.py:4  The Books.\n")
    assert err.splitlines() == [
        "! spiders/leaves.py:2  SystemExit: leaving",
        "! spiders/other.py:2  ModuleNotFoundError: No module named 'no_such_module_here'",
        "! spiders/typo.py:2  invalid syntax",
        '! spiders/wrong.py:4: concurency is not a setting. Did you mean "concurrency"? (If it is your own, annotate it or choose another name.)',
    ]
    code, _, err = project.types("crawl", "books")
    assert (code, "refused" in err) == (4, True)
    code, _, err = project.types("crawl", "other")
    assert code == 2
    assert err.startswith("✗ spiders/other.py does not load: ModuleNotFoundError: No module named")
    code, _, err = project.types("crawl", "bookz")
    assert err == '✗ No spider "bookz". Did you mean "books"? Known: books; 4 did not load (scraper list)\n'


PLUGIN = SPIDER.format(name="Shop") + SPIDER.format(name="Books") + "\nnothing = 3\n"


def test_a_wrong_configuration_is_said_with_the_list(project: Project) -> None:
    """A table for a spider that is not there, or an unknown setting, is named below the spiders."""
    project.spider("spiders/books.py", "Books")
    project.write("scraper.toml", '[spider.boks]\nrate = "1/s"\n')
    code, out, err = project.types("list")
    assert (code, out) == (0, "books  spiders/books.py:4  The Books.\n")
    assert err.startswith(
        "! a table for the spider boks, which there is not; correct the name in scraper.toml"
    )
    project.write("scraper.toml", 'rat = "1/s"\n')
    assert project.types("list")[2].startswith("! scraper.toml:1: unknown setting 'rat'")


def test_plugins_are_listed_with_package_and_version(project: Project) -> None:
    """Entry points of installed distributions are spiders; a broken one is named and breaks nothing else."""
    project.spider("spiders/books.py", "Books")
    project.plugin(
        "acme-spiders",
        "1.2",
        "shop = acme_spiders:Shop\nbooks = acme_spiders:Books\nno = acme_spiders:nothing",
        PLUGIN,
    )
    project.plugin(
        "bad-spiders",
        "0.3",
        "bad = bad_spiders:Bad\nworse = bad_spiders.gone:Worse",
        "raise RuntimeError('not today')",
    )
    code, out, err = project.runs("list")
    assert (code, out.splitlines()) == (
        0,
        ["books  spiders/books.py:4  The Books.", "shop   acme-spiders 1.2    The Shop."],
    )
    bad = project.folder / "site/bad_spiders/__init__.py"
    assert err.splitlines() == [
        f"! plugin bad-spiders 0.3 (bad_spiders:Bad) does not load: {bad.relative_to(project.folder)}:1  RuntimeError: not today",
        "! plugin acme-spiders 1.2 (acme_spiders:nothing) is no Spider class",
        f"! plugin bad-spiders 0.3 (bad_spiders.gone:Worse) does not load: {bad.relative_to(project.folder)}:1  RuntimeError: not today",
        '! two spiders are named "books": spiders/books.py:4 is used, acme-spiders 1.2 is not',
    ]
    code, out, _ = project.runs("info", "shop")
    assert (code, out.splitlines()[1].strip()) == (0, "The Shop.")
    code, _, err = project.runs("crawl", "bad")
    assert (
        code,
        "plugin bad-spiders 0.3 (bad_spiders:Bad) does not load: RuntimeError: not today" in err,
    ) == (2, True)


# ------------------------------------------------------------------------------------------- names


def test_of_two_spiders_with_one_name_the_file_of_that_name_wins(project: Project) -> None:
    """spiders/shop.py is `shop` although a.py has one too; among others the first file wins; `list` says so."""
    project.spider("spiders/a.py", "Shop", "Tea")
    project.spider("spiders/shop.py", "Shop")
    project.spider("spiders/z.py", "Tea")
    code, out, err = project.types("list")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["shop", "spiders/shop.py:4"],
        ["tea", "spiders/a.py:12"],
    ]
    assert err.splitlines() == [
        '! two spiders are named "shop": spiders/shop.py:4 is used, spiders/a.py:4 is not',
        '! two spiders are named "tea": spiders/a.py:12 is used, spiders/z.py:4 is not',
    ]
    assert code == 0
    chosen = {name: known.cls for name, known in survey(project.folder).spiders.items()}
    assert chosen == {name: load_spider(name) for name in ("shop", "tea")}


def test_base_classes_are_not_listed(project: Project) -> None:
    """A class without a start, or marked as abstract, is no spider of its own; the one derived from it is."""
    project.write(
        "spiders/shops.py",
        "from scraper import Spider\nfrom collections.abc import Iterable\n"
        "class Base(Spider):\n    def parse(self, page): pass\n"
        "class Other(Spider):\n    abstract = True\n    start_urls = ['http://127.0.0.1:1/']\n    def parse(self, page): pass\n"
        "class Tea(Base):\n    start_urls = ['http://127.0.0.1:1/']\n"
        "class Coffee(Other):\n    def start(self): yield 'http://127.0.0.1:1/'\n",
    )
    assert list(survey(project.folder).spiders) == ["coffee", "tea"]
    assert load_spider("spiders/shops.py:Base").__name__ == "Base"
    with pytest.raises(
        SpiderError, match=r"several spiders; name one: spiders/shops\.py:Tea, spiders/shops\.py:Coffee"
    ):
        load_spider("spiders/shops.py")


def test_a_spider_without_a_start_is_found_by_its_name(project: Project) -> None:
    """It is not listed, and crawled with `--start` all the same; a table for it in the configuration is no mistake."""
    project.write("spiders/any.py", SPIDER.format(name="Any").replace("start_urls", "others"))
    project.write("scraper.toml", "[spider.any]\ndelay = '1ms'")
    code, out, err = project.types("list")
    assert (code, out, err) == (0, "", "no spider has a start of its own: scraper crawl any --start URL\n")
    assert ":4: no start; set start_urls" in project.types("crawl", "any")[2]
    assert "refused" in project.types("crawl", "any", "--start", "http://127.0.0.1:1/")[2]
    assert "✗ config" not in project.types("doctor")[1]


def test_a_file_with_one_spider_needs_no_class(project: Project) -> None:
    """A base class without a start beside it does not count; alone, it is chosen and the crawl says what it lacks."""
    project.write(
        "one.py",
        SPIDER.format(name="Base").replace("start_urls", "others")
        + "class Tea(Base):\n    start_urls = ['http://x/']\n",
    )
    assert load_spider("one.py").__name__ == "Tea"
    with pytest.raises(
        UsageError, match=r'^No spider "one". Did you mean "one\.py"\? Known: none \(scraper list\)$'
    ):
        load_spider("one")
    project.write("alone.py", SPIDER.format(name="Base").replace("start_urls", "others"))
    assert project.types("crawl", "alone.py")[2].partition("alone.py")[2].startswith(":4: no start")


@pytest.mark.parametrize("where", ["shop_of_project.py", "below/shop_of_folder.py"])
def test_modules_are_imported_from_the_project_and_from_here(
    project: Project, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:Class` finds modules in the project's folder and in the working directory."""
    project.spider(where, "Shop")
    (project.folder / "below").mkdir(exist_ok=True)
    monkeypatch.chdir(project.folder / "below")
    assert load_spider(f"{Path(where).stem}:Shop").__name__ == "Shop"
    with pytest.raises(SpiderError, match="no spider class 'Shp'"):
        load_spider(f"{Path(where).stem}:Shp")
    with pytest.raises(SpiderError, match="no_such_module does not load: ModuleNotFoundError"):
        load_spider("no_such_module:Shop")


def test_a_spider_imports_what_lies_beside_it_and_in_the_project(project: Project) -> None:
    """Helpers in the file's folder and in the project's are found, at the top and later in a callback."""
    project.write("shared_of_project.py", "there = 1")
    project.write("spiders/beside_the_spider.py", "there = 2")
    project.write("spiders/later_in_a_callback.py", "there = 3")
    later = "    def late(self, page):\n        import later_in_a_callback\n        return later_in_a_callback.there\n"
    project.write(
        "spiders/tea.py",
        "import sys\nsys.path.append('its-own')\nimport shared_of_project, beside_the_spider\n"
        + SPIDER.format(name="Tea")
        + later,
    )
    tea = load_spider("tea", project.folder)
    assert "its-own" in sys.path
    assert tea.late(None, None) == 3  # type: ignore[attr-defined]  # the method above


# ------------------------------------------------------------------------------------------- the project


def test_a_file_elsewhere_brings_its_project(project: Project) -> None:
    """Configuration and database are those of the project the file is in, not of the working directory."""
    project.write("here/scraper.toml", "retries = 7")
    project.write("shop/scraper.toml", 'contact = "me@shop.example"\n[spider.tea]\ncrawl_delay_max = 5')
    project.spider("shop/spiders/tea.py", "Tea")
    (project.folder / "here").mkdir(exist_ok=True)
    code, out, _ = project.types("-C", "here", "info", "../shop/spiders/tea.py")
    assert code == 0
    assert "contact         = me@shop.example  (" in out
    assert "crawl_delay_max = 5.0  (" in out
    code, _, err = project.types("-C", "here", "crawl", "../shop/spiders/tea.py")
    assert (code, (project.folder / "shop/data/tea.db").exists()) == (4, True)
    assert project.types("-C", "here", "resume", "../shop/data/tea.db")[2].startswith("✗ nothing to resume")
    code, _, err = project.types("crawl", "tea", "-C", "nowhere")
    assert (code, err) == (2, "✗ -C nowhere: No such file or directory\n")


def test_info_says_which_settings_come_from_where(project: Project) -> None:
    """Documentation, start, arguments, items with keys, limits; each setting with its place, no secret."""
    project.write(
        "scraper.toml",
        'delay = "1s"\nretries = 9\n[headers]\nX-Key = "secret"\n[limits."a.com"]\nrate = "1/s"\n',
    )
    project.write(
        "spiders/tea.py",
        "from dataclasses import dataclass\nfrom typing import Annotated\nfrom scraper import Key, Spider\n"
        "@dataclass\nclass Leaf:\n    name: Annotated[str, Key]\n    price: float\n"
        "class Tea(Spider[Leaf]):\n    'All teas.'\n    word: str\n    most: int = 3\n    rate = '4/s'\n    retries = 1\n"
        "    start_urls = ['http://127.0.0.1/']\n    def parse(self, page): pass\n",
    )
    code, out, err = project.types("info", "tea")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "tea  spiders/tea.py:8",
        "  All teas.",
        "  start      http://127.0.0.1/",
        "  arguments  -a word: str  (required)",
        "             -a most: int = 3",
        "  items      leaf (name TEXT key, price REAL)",
        "  limits     4/s per domain, 2 at a time, scope site",
        "             a.com: rate 1/s",
        "  settings   rate    = 4/s  (spiders/tea.py:8)",
        "             delay   = 1.0  (scraper.toml:1)",
        "             limits  = a.com  (scraper.toml:5)",
        "             retries = 1  (spiders/tea.py:8)",
        "             headers = X-Key  (scraper.toml:3)",
    ]


def test_configuration_errors_end_every_command_that_needs_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file or variable is exit 2 and one line, for crawl and info alike; `list` says so and goes on."""
    project.spider("spiders/tea.py", "Tea")
    project.write("scraper.toml", "\nrat = 1")
    for words in (("crawl", "tea"), ("info", "tea")):
        assert project.types(*words)[::2] == (
            2,
            "✗ scraper.toml:2: unknown setting 'rat'. Did you mean \"rate\"?\n",
        )
    code, _, err = project.types("list")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("! scraper.toml:2: unknown setting 'rat'")
    project.write("scraper.toml", "")
    monkeypatch.setenv("SCRAPER_RATES", "1")
    assert project.types("crawl", "tea")[::2] == (
        2,
        '✗ environment: no setting is named SCRAPER_RATES. Did you mean "SCRAPER_RATE"?\n',
    )
    assert issubclass(SettingsError, UsageError)
