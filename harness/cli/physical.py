"""Commands of physical backups: continuous WAL, restores to a point in time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import (
    ESTATE,
    ConfigFile,
    LiveFile,
    app,
    help_alone,
    runs,
    say,
    say_event,
    warn,
)
from harness.cli.backup import LIVE, NOT_UP, has_primary

if TYPE_CHECKING:
    from harness.backup.status import Status
    from harness.estate.config import Config
    from harness.physical.source import PhysicalSource

wal_app = typer.Typer(help="Ship WAL continuously: receive, push.", rich_markup_mode=None)
wal_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(wal_app, name="wal")


def source(config: Path, at: Path) -> PhysicalSource:
    """Return the declared primary, else the running estate's. Raises UsageError."""
    from harness.estate.config import load_config
    from harness.physical.source import source_of

    return source_of(load_config(config), at, NOT_UP)


@wal_app.command("receive")
def wal_receive(config: ConfigFile = ESTATE, at: LiveFile = LIVE) -> None:
    """Receive WAL by a replication slot and ship it, until Ctrl-C. Events are lines of JSON.

    The server keeps what is not shipped: set its max_slot_wal_keep_size, and watch `blackstart status`.
    """
    from harness.estate.config import load_config
    from harness.evidence.journal import JournalFile
    from harness.physical.continuous import archive

    loaded, found = load_config(config), source(config, at)
    logs = runs().parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    journal = JournalFile(logs / f"wal-{token_hex(4)}.jsonl", listener=say_event)
    warn(f"wal: slot {found.slot}, shipped within {loaded.backup.wal_seconds:g} s; Ctrl-C ends it")
    if not loaded.backup.alerts:
        warn("wal: nobody is told of an outage; name targets in backup.alerts")
    archive(loaded, found, journal)
    warn("wal: ended; the server keeps WAL for the slot until it is received again, or the slot is dropped")


@wal_app.command("push")
def wal_push(
    file: Annotated[Path, typer.Argument(help="%p of archive_command.")],
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
) -> None:
    """Ship one finished WAL file: archive_command = 'timeout 60 blackstart wal push %p --config /PATH/estate.toml'.

    Exit code 0 only when it is in the repository.
    """
    from harness.physical.push import push

    found = source(config, at)
    say(push(file, found.repository, found.keys, lock=found.lock))


@app.command()
def status(
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    textfile: Annotated[
        Path | None, typer.Option(help="Write gauges there, for the node exporter of Prometheus.")
    ] = None,
    alert: Annotated[bool, typer.Option("--alert", help="Send each alarm to the declared alerts.")] = False,
) -> None:
    """What would be lost now, and what endangers backups.

    Lost: if the site were gone this second. Exit code 1 with an alarm; 2 or 3 where it cannot be asked, an alarm too.
    """
    from harness.backup.status import unknown_status
    from harness.core.errors import REPORTED, HarnessError, reason_of
    from harness.estate.config import load_config

    loaded = load_config(config)
    try:
        now = said_status(loaded, config, at)
    except REPORTED as error:
        try:
            pass_on(loaded, unknown_status(reason_of(error)), textfile, alert=alert)
        except HarnessError as other:
            warn(f"blackstart: {other}")
        raise
    for line in now.alarms:
        say(f"ALARM: {line}")
    pass_on(loaded, now, textfile, alert=alert)
    if now.alarms:
        raise typer.Exit(1)


def said_status(loaded: Config, config: Path, at: Path) -> Status:
    """Print the figures of the status; return it, with the alarms of the standby. Raises HarnessError, OSError."""
    from harness.backup.status import ask_server, status_of

    found = source(config, at)
    ask = partial(ask_server, found.sql, found.slot)
    now = status_of(found.repository, ask, loaded.backup.schedule, loaded.backup.wal_seconds)
    seconds, lost = shown(now.rpo_seconds, "s"), shown(now.lost_bytes, "bytes")
    say(f"lost if the site were gone now: {seconds} of writes, {lost} of WAL")
    due = f"; the next is due on {now.due}" if now.due is not None else ""
    say(f"newest backup: {shown(now.backup_age_seconds, 's')} old{due}")
    kept, most = shown(now.retained_bytes, "bytes"), shown(now.retained_limit_bytes, "bytes")
    say(f"replication slot: keeps {kept}, at most {most}")
    return replace(now, alarms=(*now.alarms, *standby_alarms(loaded, at)))


def pass_on(loaded: Config, now: Status, textfile: Path | None, *, alert: bool) -> None:
    """Send each alarm, if asked to, and write the gauges. A target that was not told is a line; raises HarnessError."""
    from harness.alerts.alerts import Alerts
    from harness.backup.status import write_gauges

    name = loaded.estate.name
    for line in Alerts(loaded.backup.alerts).missed(f"Backups of {name}", now.alarms) if alert else ():
        warn(f"blackstart: {line}")
    if textfile is not None:
        write_gauges(textfile, name, now)


def standby_alarms(config: Config, at: Path) -> list[str]:
    """Print how far the standby of a running estate is; return a line when a recovery would not promote it."""
    from harness.estate.state_file import read_state
    from harness.physical.standby.folder import NAME, StandbyFolder

    if config.sites.dr.strategy != "warm" or has_primary(config):
        return []
    folder = StandbyFolder(Path(read_state(at, NOT_UP).run) / NAME)
    if alarm := folder.alarm:
        return [f"the standby would not be promoted: {alarm}"]
    say(f"standby: {folder.state()}")
    return []


def shown(value: float | None, unit: str) -> str:
    """Return a measured value with its unit, as a person reads it."""
    return "unknown" if value is None else f"{value:.0f} {unit}"
