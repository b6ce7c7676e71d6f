"""Commands on existing infrastructure, as CronJobs run them: one line of JSON an event, on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.backup.build import take_backup
from harness.cli.app import RUNS, ConfigFile, Reports, app
from harness.core.errors import UsageError
from harness.core.journal import Event
from harness.estate.config import Config, load_config
from harness.estate.promises import load_promises, promise_named
from harness.evidence.folder import RecordFolder, sha256_of
from harness.evidence.journal import JournalFile, as_data
from harness.evidence.record import RecordHeader
from harness.restore_test.build import NAME, OBJECTIVE, run_restore_test

CODES = {"KEPT": 0, "BROKEN": 1}
UNKNOWN = 3


def say(event: Event) -> None:
    """Print an event; a listener for `JournalFile`."""
    tell(as_data(event))


def tell(facts: dict[str, object]) -> None:
    """Print facts as one line of JSON, at once."""
    sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def backup_existing(config: Config) -> None:
    """Take one full backup of the declared primary into the declared repository, and print its receipt."""
    receipt = take_backup(config, RUNS, say)
    tell(
        {
            "kind": "receipt",
            "backup": receipt.backup_id,
            "path": receipt.path,
            "committed_at": receipt.committed_at.isoformat(timespec="seconds"),
            "size": receipt.size,
            "digest": receipt.digest,
        }
    )


@app.command("restore-test")
def restore_test(
    config: ConfigFile = Path("estate.toml"),
    reports: Reports = Path("reports"),
    budgets: Annotated[Path, typer.Option(help="The file of promises.")] = Path("features/budgets.toml"),
    promise: Annotated[str, typer.Option(help="The promise that is judged.")] = "site loss",
) -> None:
    """The nightly restore test: restore, start and test the newest backup on the declared DR site, then clear it."""
    loaded = load_config(config)
    budget = promise_named(load_promises(budgets), promise)
    if loaded.existing is None or loaded.existing.dr is None:
        raise UsageError(f"{config}: declares no DR site under [existing.dr]; see deploy/README.md")
    folder = RecordFolder.make(reports.resolve(), f"restore test {loaded.estate.name}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=say)
    hashes = {path.name: sha256_of(path) for path in (config, budgets)}
    header = RecordHeader(
        NAME, OBJECTIVE, budget, initiator="schedule", hashes=hashes, substrate="existing", mode="restore test"
    )
    record = run_restore_test(loaded, header, folder, journal, RUNS)
    tell({"kind": "verdict", "verdict": record.verdict, "reasons": list(record.reasons), "record": str(folder.path)})
    raise typer.Exit(CODES.get(record.verdict, UNKNOWN))
