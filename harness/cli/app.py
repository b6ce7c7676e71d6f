"""What every command shares: the application, its output, its options. Commands import what they need when they run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import __version__
from harness.core.text import visible, visible_lines

if TYPE_CHECKING:
    from harness.core.journal import Event
    from harness.core.judge import Promise
    from harness.evidence.report.terminal import Progress

app = typer.Typer(
    help="Proves, every night, that an estate can be brought back from its backups.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # [existing] is a table of estate.toml, and no markup
)

ESTATE, REPORTS = Path("estate.toml"), Path("reports")
# For a command that passes its arguments on to pytest.
ANY_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}

ConfigFile = Annotated[Path, typer.Option("--config", help="The estate's declaration.")]
ExampleFile = Annotated[
    Path | None, typer.Option("--config", help="The estate's declaration [default: estate.toml, else the example's].")
]
LiveFile = Annotated[Path, typer.Option("--live", help="File with the addresses of the running estate.")]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Also read backups that nobody signed: anyone may have written them.")
]
Budgets = Annotated[
    Path | None, typer.Option(help="The file of promises [default: features/budgets.toml, else the example's].")
]
PromiseName = Annotated[str, typer.Option(help="The promise that is judged.")]
Reports = Annotated[Path, typer.Option("--reports", help="Where records are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show_version(asked: bool) -> None:
    """Print the version and end, where `--version` was given."""
    if asked:
        say(f"blackstart {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Proves, every night, that an estate can be brought back from its backups."""
    help_alone(context)
    from harness.core.errors import UsageError
    from harness.patience import MISTAKE

    if MISTAKE:
        raise UsageError(MISTAKE)


def help_alone(context: typer.Context) -> None:
    """Print the help and end as a usage error does, where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def say(line: str) -> None:
    """Print a line to standard output, at once. What is in it of others commands no terminal."""
    typer.echo(visible(line))
    sys.stdout.flush()


def say_text(text: str) -> None:
    """Print a text of several lines to standard output, at once."""
    typer.echo(visible_lines(text))
    sys.stdout.flush()


def warn(line: str) -> None:
    """Print a line to standard error."""
    typer.echo(visible(line), err=True)


def say_json(facts: object) -> None:
    """Print facts as one line of JSON to standard output, at once."""
    say(json.dumps(facts, ensure_ascii=False))


def say_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell; nothing is cut."""
    table = [tuple(map(visible, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_event(event: Event) -> None:
    """Print an event of the journal as one line of JSON; a listener for `JournalFile`."""
    from harness.evidence.journal import as_data

    say_json(as_data(event))


def progress() -> Progress:
    """Return what prints a line for each event to standard error."""
    from rich.console import Console

    from harness.evidence.report.terminal import Progress

    return Progress(Console(stderr=True, soft_wrap=True))


def runs() -> Path:
    """Return the folder of the folders of runs."""
    from harness.parts.places import runs_folder

    return runs_folder(Path.cwd())


def promised(budgets: Path | None, promise: str, substrate: str) -> tuple[Path, Promise]:
    """Return the file of promises and the one with a name, as it is on a substrate. Raises UsageError."""
    from harness.estate.promises import BUDGETS, load_promises, promise_named
    from harness.parts.places import FILES

    file = budgets or (Path(BUDGETS) if Path(BUDGETS).is_file() else FILES / BUDGETS)
    return file, promise_named(load_promises(file, substrate), promise)


def estate_or_example(config: Path | None) -> Path:
    """Return the named declaration, else `estate.toml` of this folder, else the example that comes with blackstart."""
    from harness.parts.places import FILES

    return config or (ESTATE if ESTATE.is_file() else FILES / ESTATE)
