"""The restore test of the newest backup: as a CronJob of a cluster runs it, or on a DR site made for it.

Events and verdict are lines of JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import (
    ANY_WORDS,
    ESTATE,
    REPORTS,
    AllowUnsigned,
    Budgets,
    ConfigFile,
    PromiseName,
    Reports,
    app,
    promised,
    runs,
    say_event,
    say_json,
)

if TYPE_CHECKING:
    from harness.core.journal import Journal
    from harness.core.judge import Promise
    from harness.core.record import DrillRecord
    from harness.core.told import Told
    from harness.estate.config import Config
    from harness.evidence.folder import RecordFolder
    from harness.evidence.record import RecordHeader
    from harness.recovery.recover import Recorded

CODES = {"KEPT": 0, "BROKEN": 1}
UNKNOWN = 3
EXISTING = "existing"
# What a restore on a separate site is evidence for: tests of backups, their integrity, recovery from them.
CONTROLS = ("DORA-12", "ISO27001-A.8.13", "NIST-CP-9", "SOC2-A1.2")


@app.command("restore-test")
def restore_test(
    config: ConfigFile = ESTATE,
    reports: Reports = REPORTS,
    budgets: Budgets = None,
    promise: PromiseName = "site loss",
    substrate: Annotated[
        str, typer.Option(help="Make the DR site and remove it: on embedded, docker or kind [default: [existing.dr]].")
    ] = EXISTING,
    approver: Annotated[str, typer.Option(help="Who approved it.")] = "",
    secrets: Annotated[
        Path | None,
        typer.Option(help="With --substrate: folder of recipient.pem and of production's secrets [default: DR's]."),
    ] = None,
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Restore and test the newest backup on the DR site.

    The site is the one declared under [existing.dr]; what was restored there is removed afterwards. With --substrate
    it is a new one: only the declaration, read access to [existing.offsite] and DR's key are needed.
    """
    from harness.core.errors import REPORTED, UsageError
    from harness.estate.config import load_config
    from harness.estate.existing import new_run
    from harness.estate.substrates import SUBSTRATES

    loaded = load_config(config)
    try:
        if substrate != EXISTING and substrate not in SUBSTRATES:
            raise UsageError(f"--substrate {substrate}: write {', '.join((*SUBSTRATES, EXISTING))}")
        file, header = prepared(loaded, config, budgets, promise, substrate, approver)
        folder = (secrets or secrets_of(loaded, config)).resolve() if substrate != EXISTING else None
    except REPORTED as error:
        say_not_started(loaded, error)
        raise
    given = Given(config.resolve(), file.resolve(), promise, substrate, approver, folder, allow_unsigned)
    carry_out(given, header, new_run(runs(), "restore-test"), reports, None)


def prepared(
    loaded: Config, config: Path, budgets: Path | None, promise: str, substrate: str, approver: str
) -> tuple[Path, RecordHeader]:
    """Return the file of promises and what the record says without a measurement. Raises HarnessError, OSError."""
    from harness.attestation.keys import key_name, signing_key
    from harness.core.errors import UsageError
    from harness.estate.drill_file import load_drill_file
    from harness.estate.substrates import SUBSTRATES

    stated = load_drill_file(config)
    label = SUBSTRATES[substrate].label(loaded) if substrate in SUBSTRATES else "embedded"
    file, budget = promised(budgets, promise, label)
    header = header_of(loaded, config, file, budget, substrate)
    stated.require_approval(header.initiator, approver)
    header = replace(header, approver=approver, signing_key=key_name(signing_key(stated.table.key)))
    if substrate == EXISTING and (loaded.existing is None or loaded.existing.dr is None):
        raise UsageError(
            f"{config}: declares no DR site under [existing.dr]; declare it (deploy/README.md), or have one made with "
            "--substrate embedded"
        )
    return file, header


@dataclass(frozen=True, slots=True)
class Given:
    """Options of a restore test, paths absolute: with them it can be resumed."""

    config: Path
    budgets: Path
    promise: str
    substrate: str
    approver: str
    secrets: Path | None
    unsigned: bool

    @property
    def words(self) -> dict[str, str]:
        """The options as text; "" is false, or None."""
        return {name: str(value or "") for name, value in asdict(self).items()}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Given:
        """Return the options in what `words` returned."""
        secrets = Path(words["secrets"]) if words["secrets"] else None
        return cls(
            config=Path(words["config"]),
            budgets=Path(words["budgets"]),
            promise=words["promise"],
            substrate=words["substrate"],
            approver=words["approver"],
            secrets=secrets,
            unsigned=bool(words["unsigned"]),
        )


def carry_out(given: Given, header: RecordHeader, run: Path, reports: Path, resumed: Recorded | None) -> None:
    """Run the test in a run folder, send and print its outcome and sign its record. Raises HarnessError, typer.Exit.

    `resumed`: the record that is continued.
    """
    from harness.attestation.keys import signing_key
    from harness.attestation.statement import seal
    from harness.estate.config import load_config
    from harness.estate.drill_file import load_drill_file
    from harness.evidence.format.chain import head_of_chain

    record, folder = run_and_tell(load_config(given.config), header, run, reports, given, resumed)
    seal(folder.path, signing_key(load_drill_file(given.config).table.key))  # last: it is not changed afterwards
    verdict = {"kind": "verdict", "verdict": record.verdict, "reasons": list(record.reasons)}
    say_json({**verdict, "record": str(folder.path), "head": head_of_chain(folder.path.parent)})
    raise typer.Exit(CODES.get(record.verdict, UNKNOWN))


def header_of(loaded: Config, config: Path, budgets: Path, budget: Promise, substrate: str) -> RecordHeader:
    """Return what the record says of a restore test without measuring it. Raises UsageError."""
    from harness.core.clock import SYSTEM
    from harness.estate.declared import declared_hash
    from harness.estate.drill_file import load_drill_file
    from harness.estate.substrates import SUBSTRATES
    from harness.evidence.record import RecordHeader
    from harness.restore_test.build import NAME, OBJECTIVE

    stated, made = load_drill_file(config), SUBSTRATES.get(substrate)
    return RecordHeader(
        NAME,
        OBJECTIVE,
        budget,
        initiator="operator" if made else "schedule",
        inputs={**{path.name: path.read_bytes() for path in (config, budgets)}, **stated.inputs},
        statements=stated.statements(SYSTEM.wall().date()),
        time_server=stated.table.time_server or "",
        substrate=made.label(loaded) if made else EXISTING,
        limits=made.limits if made else (),
        mode="restore test",
        estate=loaded.estate.name,
        expected="KEPT",
        controls=CONTROLS,
        scenario_sha256=declared_hash((NAME, OBJECTIVE), loaded),
    )


def run_and_tell(
    config: Config, header: RecordHeader, run: Path, reports: Path, given: Given, resumed: Recorded | None
) -> tuple[DrillRecord, RecordFolder]:
    """Run the test and send its outcome, also when it could not be started. Raises HarnessError."""
    from harness.core.errors import REPORTED
    from harness.notify.tell import tell

    try:
        record, folder = run_test(config, header, run, reports, given, resumed)
    except REPORTED as error:
        say_not_started(config, error)
        raise
    say_told(tell(record, config.notify, folder.path))
    return record, folder


def say_not_started(config: Config, error: BaseException) -> None:
    """Send that the test could not be started, and why; print each delivery. Raises nothing of a delivery."""
    from harness.core.errors import reason_of
    from harness.notify.tell import tell_not_started
    from harness.restore_test.build import NAME

    say_told(tell_not_started(NAME, config.estate.name, reason_of(error), config.notify))


def say_told(told: tuple[Told, ...]) -> None:
    """Print one line of JSON for each delivery."""
    for one in told:
        say_json({"kind": "told", "target": one.target, "delivered": one.delivered, "reason": one.reason})


def versions_of(substrate: str, config: Config) -> dict[str, str]:
    """Return what a new DR site is made of: the versions of the parts of this machine, or the digests of images."""
    from harness.estate.substrates import SUBSTRATES
    from harness.parts.doctor import survey

    made = SUBSTRATES[substrate]
    return {part.name: part.version for part in survey()} if made.runs_here else made.image_versions(config)


def secrets_of(config: Config, file: Path) -> Path:
    """Return the folder of the DR site's secrets: as declared, else secrets/dr beside the declaration."""
    from harness.cli.keys import folder_of

    return folder_of("dr", config, file)


def run_test(
    config: Config, header: RecordHeader, run: Path, reports: Path, given: Given, resumed: Recorded | None
) -> tuple[DrillRecord, RecordFolder]:
    """Run the test on the declared site or, with a folder of secrets, on a new one. Raises HarnessError."""
    from harness.estate.substrates import SUBSTRATES
    from harness.evidence.folder import RecordFolder
    from harness.evidence.journal import JournalFile
    from harness.restore_test.build import run_restore_test
    from harness.restore_test.check import require_restore_test

    def opened() -> tuple[RecordFolder, Journal]:
        if resumed is not None:
            return resumed.folder, resumed.journal
        folder = RecordFolder.make(reports.resolve(), f"restore test {config.estate.name}")
        return folder, JournalFile(folder.path / "journal.jsonl", listener=say_event)

    words = given.words
    if given.secrets is None:
        require_restore_test(config)
        folder, journal = opened()
        return run_restore_test(config, header, folder, journal, run, words, unsigned=given.unsigned), folder
    from harness.restore_test.own_site import own_site, run_on_own_site

    site = own_site(config, SUBSTRATES[given.substrate], given.secrets, run, unsigned=given.unsigned)
    header = replace(header, versions=versions_of(given.substrate, config))
    folder, journal = opened()
    return run_on_own_site(site, header, folder, journal, words), folder


@app.command("rehearse", hidden=True, add_help_option=False, context_settings=ANY_WORDS)
def rehearse() -> None:
    """Refuse the old name of the command."""
    from harness.core.errors import UsageError

    raise UsageError("`blackstart rehearse` is now called `blackstart restore-test`, with the same options")
