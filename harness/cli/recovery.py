"""Commands of the day of the real disaster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import (
    ESTATE,
    REPORTS,
    AllowUnsigned,
    Budgets,
    ConfigFile,
    LiveFile,
    PromiseName,
    Reports,
    app,
    progress,
    promised,
    runs,
    say,
)

if TYPE_CHECKING:
    from harness.core.judge import Promise
    from harness.core.record import DrillRecord
    from harness.estate.config import Config
    from harness.evidence.record import RecordHeader
    from harness.recovery.recover import Recorded, Recovered

RECOVERED = Path(".blackstart/recovered.json")


@app.command()
def recover(
    offsite: Annotated[str, typer.Option(help="HOST:PORT of the offsite store, or its folder.")],
    secrets: Annotated[Path, typer.Option(help="Folder with dr/, offsite/, clients/ and names/.")],
    estate: Annotated[str, typer.Option(prompt="Name of the estate to recover")],
    config: ConfigFile = ESTATE,
    witness: Annotated[str, typer.Option(help="A URL of the primary that must fail.")] = "",
    fenced: Annotated[str, typer.Option(help="Why the primary cannot come back.")] = "",
    allow_unsigned: AllowUnsigned = False,
    reports: Reports = REPORTS,
    at: LiveFile = RECOVERED,
    budgets: Budgets = None,
    promise: PromiseName = "site loss",
) -> None:
    """Recover the estate on the DR site after a real disaster.

    It is left running there, with outward actions disabled until `blackstart release`.
    """
    from harness.estate.config import load_config
    from harness.estate.connections import offsite_at
    from harness.evidence.folder import RecordFolder
    from harness.evidence.journal import JournalFile
    from harness.recovery.down import require_down
    from harness.recovery.recover import Recorded, require_name

    loaded = load_config(config)
    require_name(loaded, estate)
    how = require_down(witness, fenced)
    where = offsite_at(offsite, {})
    file, budget = promised(budgets, promise, "embedded")
    header = header_of(loaded, config, file, budget)
    folder = RecordFolder.make(reports.resolve(), f"recover {estate}")
    journal = JournalFile(folder.path / "journal.jsonl", listener=progress().event)
    journal.mark("primary down", estate, how=how)
    run = (runs() / folder.path.name).resolve()
    given = Given(
        secrets=secrets.resolve(),
        config=config.resolve(),
        budgets=file.resolve(),
        at=at.resolve(),
        offsite=str(where),
        estate=estate,
        witness=witness,
        fenced=fenced,
        promise=promise,
        unsigned=allow_unsigned,
    )
    carry_out(given, run, Recorded(header, folder, journal))


@dataclass(frozen=True, slots=True)
class Given:
    """Options of a recovery, paths absolute: with them it can be resumed."""

    secrets: Path
    config: Path
    budgets: Path
    at: Path
    offsite: str
    estate: str
    witness: str
    fenced: str
    promise: str
    unsigned: bool

    @property
    def words(self) -> dict[str, str]:
        """The options as text; "" is false."""
        return {name: str(value or "") for name, value in asdict(self).items()}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Given:
        """Return the options in what `words` returned."""
        return cls(
            secrets=Path(words["secrets"]),
            config=Path(words["config"]),
            budgets=Path(words["budgets"]),
            at=Path(words["at"]),
            offsite=words["offsite"],
            estate=words["estate"],
            witness=words["witness"],
            fenced=words["fenced"],
            promise=words["promise"],
            unsigned=bool(words["unsigned"]),
        )


def header_of(loaded: Config, config: Path, budgets: Path, budget: Promise) -> RecordHeader:
    """Return what the record says of a recovery without measuring it. Raises UsageError."""
    from harness.attestation.keys import key_name, signing_key
    from harness.core.clock import SYSTEM
    from harness.estate.declared import declared_hash
    from harness.estate.drill_file import load_drill_file
    from harness.evidence.record import RecordHeader
    from harness.recovery.recover import NAME, OBJECTIVE

    stated = load_drill_file(config)
    return RecordHeader(
        NAME,
        OBJECTIVE,
        budget,
        initiator="operator",
        inputs={**{path.name: path.read_bytes() for path in (config, budgets)}, **stated.inputs},
        statements=stated.statements(SYSTEM.wall().date()),
        signing_key=key_name(signing_key(stated.table.key)),
        time_server=stated.table.time_server or "",
        mode=NAME,
        estate=loaded.estate.name,
        scenario_sha256=declared_hash((NAME, OBJECTIVE), loaded),
    )


def carry_out(given: Given, run: Path, record: Recorded) -> None:
    """Recover in a run folder, print what came of it, and sign the record. Raises as `recover`."""
    from harness.attestation.keys import signing_key
    from harness.attestation.statement import seal
    from harness.estate.config import load_config
    from harness.estate.drill_file import load_drill_file
    from harness.estate.secrets import Secrets
    from harness.estate.target_lock import alone_at
    from harness.evidence.folder import is_concluded
    from harness.recovery import recover as disaster

    loaded, folder = load_config(given.config), record.folder
    key = signing_key(load_drill_file(given.config).table.key)
    source = disaster.Source(given.offsite, folder.witness, given.unsigned)
    with alone_at(f"the DR site of {given.estate} on this machine", folder.path.name):
        try:
            secrets = Secrets(given.secrets)
            concluded = disaster.recover(loaded, source, secrets, run, record, given.at, given.words, say_recovered)
        finally:
            if is_concluded(folder.path):
                seal(folder.path, key)
    say_concluded(concluded, folder.path)


def say_concluded(concluded: DrillRecord, folder: Path) -> None:
    """Print the verdict, all reasons for it and where the record is. Raises typer.Exit with 1 for BROKEN.

    The estate serves then, and not as promised. That of a real recovery is often UNKNOWN: nobody saw the site end.
    """
    from harness.core.judge import Verdict

    say(f"promise {concluded.promise.name!r}: {concluded.verdict}")
    for line in concluded.reasons:
        say(f"REASON: {line}")
    say(f"record: {folder}; enable outward actions with `blackstart release`; end it with `blackstart sweep`")
    if concluded.verdict == Verdict.BROKEN:
        raise typer.Exit(1)


def say_recovered(done: Recovered) -> None:
    """Print what was recovered and where it is; the content of a state file that could not be written too."""
    held = "; ".join(action for entry in done.state.contained for action in entry.actions)
    say(f"RECOVERED {done.state.estate} from {done.backup_id} (data up to {done.snapshot_at}) in {done.seconds:.1f} s")
    for line in done.uncovered:
        say(f"NOT IN THE BACKUP: {line}")
    say(f"front door: {done.state.public}; outward actions disabled: {held or 'none'}")
    if not done.kept:
        say(f"the state file was not written; save this line as a file, and name it with --live: {done.state.text}")


@app.command()
def release(config: ConfigFile = ESTATE, at: LiveFile = RECOVERED) -> None:
    """Enable the outward actions of the recovered estate. Mail, crons, schedules, deliveries.

    What cannot be enabled is named and stays in the file; all else is enabled.
    """
    from harness.core.journal import MemoryJournal
    from harness.estate.config import load_config
    from harness.estate.state_file import read_state
    from harness.recovery.recover import release as release_estate

    here = read_state(at, "name the file that `blackstart recover` wrote with --live")
    done = release_estate(load_config(config), here, at, MemoryJournal())
    for line in done.lines:
        say(f"NOTE: {line}")
    none = "nothing" if here.contained else "nothing was contained"
    say(f"released: {', '.join(entry.service for entry in done.done) or none}")
    done.require()
