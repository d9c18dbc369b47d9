"""The `scraper` command as click has it: its subcommands by name, each imported when it is run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from scraper.errors import UsageError
from scraper.version import VERSION

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "Lazy", "cli", "complete", "run"]

#: The variable with which a shell asks for completion; its name is click's choice, for a program named scraper.
COMPLETE = "_SCRAPER_COMPLETE"
#: Commands by name: where each one is, and its line in `--help` (so that help imports nothing).
COMMANDS = {
    "demo": (
        "scraper.cli.commands.demo:demo",
        "Crawl a small shop served from this machine: works with no network.",
    ),
    "new": ("scraper.cli.commands.new:new", "Write a first spider for a page."),
    "crawl": ("scraper.cli.commands.crawl:crawl", "Run a spider and store what it finds."),
    "resume": ("scraper.cli.commands.crawl:resume", "Go on with an unfinished run, after Ctrl-C or a crash."),
    "stop": ("scraper.cli.commands.stop:stop", "Ask a running crawl to end, from another terminal."),
    "try": ("scraper.cli.commands.try_page:try_", "Run one page of a spider and store nothing."),
    "get": (
        "scraper.cli.commands.get:get",
        "One page to stdout: as it is, its matches, Markdown, JSON, links.",
    ),
    "shell": ("scraper.cli.commands.shell:shell", "A Python prompt with a page."),
    "list": ("scraper.cli.commands.spiders:list_spiders", "The spiders of this project and of plugins."),
    "info": ("scraper.cli.commands.spiders:info", "What a spider says of itself."),
    "tables": ("scraper.cli.commands.query:tables", "The tables of a database, with their columns."),
    "query": ("scraper.cli.commands.query:query", "Ask a database a question in SQL, or show a table."),
    "export": (
        "scraper.cli.commands.export:export_command",
        "Write a table or an answer to a file: CSV, JSON, Parquet, Excel.",
    ),
    "browse": ("scraper.cli.commands.browse:browse", "Look at a database in a web browser (datasette)."),
    "diff": ("scraper.cli.commands.diff:diff", "What appeared, vanished and changed between two runs."),
    "undo": ("scraper.cli.commands.undo:undo", "Take a bad run back."),
    "runs": ("scraper.cli.commands.runs:runs", "The runs of a database."),
    "status": (
        "scraper.cli.commands.status:status",
        "How a crawl is doing, live or dead, from any terminal.",
    ),
    "errors": ("scraper.cli.commands.errors:errors", "What failed, grouped by kind and place."),
    "hosts": (
        "scraper.cli.commands.hosts:hosts",
        "The domains of a run, and what they wait for; other limits for one.",
    ),
    "politeness": (
        "scraper.cli.commands.politeness:politeness",
        "Prove from the database that a crawl was polite.",
    ),
    "explain": ("scraper.cli.commands.explain:explain", "Why a URL was fetched, skipped or retried."),
    "bench": (
        "scraper.cli.commands.bench:bench",
        "What this machine can do: a crawl of a generated shop, measured.",
    ),
    "doctor": (
        "scraper.cli.commands.doctor:doctor",
        "What is wrong with this installation or project, and the remedy.",
    ),
    "prune": ("scraper.cli.commands.maintenance:prune", "Remove what old runs left behind."),
    "backup": ("scraper.cli.commands.maintenance:backup", "Copy a database, also while a crawl runs."),
    "migrate": ("scraper.cli.commands.maintenance:migrate", "Bring tables to what the item classes say now."),
}

EPILOG = """\b
Exit codes, the first that applies:
  2    usage, configuration, or a spider that does not load
  7    a crawl on this database is already running
  6    disk, database or permission; resumable
  130  stopped by a person; resumable
  4    no start could be reached or was allowed
  5    work is left (parked domains, Stop, too many failures in a row); resumable
  1    a callback raised, failures above max_failed, or an expectation broken
  3    finished without items, or a declared table stayed empty
  0    good (a budget that was reached is good, and said)
"""


class Lazy(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        if ctx.resilient_parsing:  # a shell asks what may stand there
            from scraper.cli.completion import attach

            attach(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Commands and flags; click's own would import every command for its help."""
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=about) for name, (_, about) in COMMANDS.items()]
        own = [item for item in items if item.value.startswith(incomplete)]
        return own + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            meant = f' Did you mean "{close[0]}"?' if close else ""
            raise UsageError(f'no command "{args[0]}".{meant} Commands: {", ".join(COMMANDS)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.command(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="scraper")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
def cli(folder: str | None) -> None:
    """Crawl web sites politely into a database you can query."""
    if folder is not None:
        from scraper.project.target import change_to

        change_to(folder)


def complete() -> None:
    """Answer a shell that asks for candidates, or for the lines that set it up (docs/cli.md)."""
    import_module("scraper.cli.completion")  # knows bash better than click does
    cli.main(prog_name="scraper", complete_var=COMPLETE, standalone_mode=False)


def run() -> int:
    """Run what the command line says, and return the exit code. click's own errors become a sentence here."""
    try:
        code = cli.main(prog_name="scraper", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"✗ {error.format_message()}", err=True)
        return 2
    except click.Abort:
        return 130
    return code if isinstance(code, int) else 0
