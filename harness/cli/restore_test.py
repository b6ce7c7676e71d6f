"""The nightly restore test, as a CronJob of a cluster runs it: events and verdict are lines of JSON."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import ANY_WORDS, ESTATE, REPORTS, ConfigFile, Reports, app, runs, say_event, say_json

CODES = {"KEPT": 0, "BROKEN": 1}
UNKNOWN = 3


@app.command("restore-test")
def restore_test(
    config: ConfigFile = ESTATE,
    reports: Reports = REPORTS,
    budgets: Annotated[Path, typer.Option(help="The file of promises.")] = Path("features/budgets.toml"),
    promise: Annotated[str, typer.Option(help="The promise that is judged.")] = "site loss",
) -> None:
    """Restore and test the newest backup on the DR site.

    The site is the one declared under [existing.dr]; what was restored there is removed afterwards.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.promises import load_promises, promise_named
    from harness.evidence.folder import RecordFolder, sha256_of
    from harness.evidence.journal import JournalFile
    from harness.evidence.record import RecordHeader
    from harness.restore_test.build import NAME, OBJECTIVE, run_restore_test

    loaded = load_config(config)
    budget = promise_named(load_promises(budgets), promise)
    if loaded.existing is None or loaded.existing.dr is None:
        raise UsageError(f"{config}: declares no DR site under [existing.dr]; see deploy/README.md")
    folder = RecordFolder.make(reports.resolve(), f"restore test {loaded.estate.name}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=say_event)
    hashes = {path.name: sha256_of(path) for path in (config, budgets)}
    header = RecordHeader(
        NAME, OBJECTIVE, budget, initiator="schedule", hashes=hashes, substrate="existing", mode="restore test"
    )
    record = run_restore_test(loaded, header, folder, journal, runs())
    verdict = {"kind": "verdict", "verdict": record.verdict, "reasons": list(record.reasons)}
    say_json({**verdict, "record": str(folder.path)})
    raise typer.Exit(CODES.get(record.verdict, UNKNOWN))


@app.command("rehearse", hidden=True, add_help_option=False, context_settings=ANY_WORDS)
def rehearse() -> None:
    """Refuse the old name of the command."""
    from harness.core.errors import UsageError

    raise UsageError("`blackstart rehearse` is now called `blackstart restore-test`, with the same options")
