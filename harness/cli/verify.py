"""The command that verifies the backups of a repository: by their signatures, by opening or by restoring them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, REPORTS, AllowUnsigned, ConfigFile, LiveFile, Reports, app, progress, runs, say
from harness.cli.backup import LIVE

if TYPE_CHECKING:
    from harness.backup.verify import Verified
    from harness.estate.config import Config
    from harness.repository.catalogue import Repository


@app.command()
def verify(
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    every: Annotated[bool, typer.Option("--all", help="Also what was opened, or restored, within seven days.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Open nothing: signatures, chain, sizes, WAL without a hole. No key needed.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Restore each into a scratch server on this machine, and check it there.")
    ] = False,
    backup_id: Annotated[str, typer.Option("--backup", help="With --restore: this one alone.")] = "",
    scratch: Annotated[
        Path | None, typer.Option(help="With --restore: a folder on a disk with room [default: with the runs].")
    ] = None,
    allow_unsigned: AllowUnsigned = False,
    reports: Reports = REPORTS,
) -> None:
    """Open every object of the committed backups with DR's key. What was opened within seven days is left out.

    With --restore each is restored, PostgreSQL is started on it, every table is read and every B-tree index compared
    with its table; what was restored within seven days is left out. Nothing of it stays.
    A line for each backup; exit code 1 when one does not open or has a damage, or the chain of backups shows a deletion
    or a rollback.
    """
    from harness.backup.quick import verify_quick
    from harness.backup.verify import Where, reader_of, verify_all
    from harness.cli.keys import folder_of
    from harness.core.errors import UsageError
    from harness.estate.config import load_config

    loaded = load_config(config)
    if quick and (every or restore):
        raise UsageError("verify: --quick opens nothing, --all and --restore do; give one of them")
    if (backup_id or scratch is not None) and not restore:
        raise UsageError("verify: --backup and --scratch belong to --restore; add it")
    repository, key = reader_of(loaded, Where(at, folder_of("dr", loaded, config), reports, allow_unsigned))
    if key is None and not quick:
        raise UsageError(
            "verify: DR's private key (recipient.pem) is not among the declared secrets; add it there, or give --quick"
        )
    if quick or key is None:
        lines = verify_quick(repository)
    elif restore:
        lines = restored(repository, key, loaded, scratch, every=every, only=backup_id)
    else:
        lines = verify_all(repository, key, every=every)
    wrong = False
    for line in lines:
        wrong = wrong or line.wrong
        say(f"{line.backup}  {line.said}")
    if wrong:
        raise typer.Exit(1)


def restored(
    repository: Repository, key: bytes, config: Config, scratch: Path | None, *, every: bool, only: str
) -> Iterator[Verified]:
    """Yield what came of each restore. Raises UsageError for a scratch folder that is not there, HarnessError."""
    from harness.core.errors import UsageError
    from harness.evidence.journal import JournalFile
    from harness.restore_test.scratch.outcome import Scratch
    from harness.restore_test.scratch.verify import verify_restored

    if scratch is not None and not scratch.is_dir():
        raise UsageError(f"--scratch {scratch}: is no folder; name one on a disk with enough space")
    logs = runs().parent / "logs" / f"verify-{token_hex(4)}"
    logs.mkdir(parents=True, exist_ok=True)
    shown = progress()
    journal = JournalFile(logs / "journal.jsonl", listener=shown.event)
    place = Scratch(repository, key, config, (scratch or runs()).resolve(), logs, journal, shown.bytes)
    yield from verify_restored(place, every=every, only=only)
