"""Command that removes expired backups."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, AsJson, ConfigFile, LiveFile, app, say_table, say_text, warn
from harness.cli.backup import LIVE, NOT_UP

if TYPE_CHECKING:
    from harness.estate.config import Config
    from harness.repository.catalogue import Repository
    from harness.repository.upkeep.retention import Decision

SHIPPING = timedelta(hours=1)  # a batch is locked after its files were stored, later than its list says


@app.command()
def retention(
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    apply: Annotated[bool, typer.Option("--apply", help="Remove what expires; without it nothing is changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which backups [backup.retention] keeps and which expire. With --apply, remove those that expire.

    Run it where the writer's key is: what it removes is noted and signed, so that DR can tell it from a deletion. It
    removes nothing while the chain of backups is in doubt, nor below the declared number of verified ones.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.repository.upkeep.retention import Policy, decide, remove_expired
    from harness.repository.upkeep.wal import expired_wal, remove_wal
    from harness.repository.wal.catalogue import read_systems
    from harness.signing import read_signing_key
    from harness.vault import read_secret

    loaded = load_config(config)
    if loaded.backup.retention is None:
        raise UsageError(f"{config}: no [backup.retention]: every backup is kept; declare what is to be kept there")
    repository, signing_key = writer_side(loaded, at)
    decisions = decide(repository, Policy(**loaded.backup.retention.model_dump()))
    say_decisions(decisions, as_json=as_json)
    kept = [decision.entry for decision in decisions if not decision.expires]
    locked = timedelta(days=loaded.backup.lock_days)
    unlocked = repository.clock.wall() - locked - SHIPPING if locked else None
    wal = [one for system in read_systems(repository) for one in expired_wal(system, kept, unlocked)]
    if wal:
        warn(f"{len(wal)} lists of WAL expire: they end before every physical backup that is kept begins")
    if not apply:
        if wal or any(decision.expires for decision in decisions):
            warn("nothing was removed; --apply removes what expires")
        return
    failed = False
    for name, error in remove_expired(repository, decisions, read_signing_key(read_secret(signing_key))):
        failed = failed or bool(error)
        warn(f"{name}  {f'NOT REMOVED: {error}' if error else 'removed'}")
    if failed:  # a backup that is still there may need its WAL
        raise typer.Exit(1)
    for name, error in remove_wal(repository, wal):
        failed = failed or bool(error)
        warn(f"{name}  {f'NOT REMOVED: {error}' if error else 'removed'}")
    if failed:
        raise typer.Exit(1)


def writer_side(config: Config, at: Path) -> tuple[Repository, str]:
    """Return the repository as its writer has it, and the reference to the writer's key. Raises UsageError."""
    from harness.backup.build import signing_key_of
    from harness.core.errors import UsageError
    from harness.estate.existing import declared_site, references, repository_to_write, writers_in
    from harness.estate.secrets import SIGNING_KEY
    from harness.estate.state_file import connect, read_state

    if config.existing is None or config.existing.offsite is None:
        connections = connect(config, read_state(at, NOT_UP))
        return connections.repository, signing_key_of(connections)
    folder = declared_site(config, "primary").secrets
    secrets = references(folder, SIGNING_KEY)
    if config.existing.offsite.witness is None and config.existing.offsite.witness_store is None:
        raise UsageError(
            "existing.offsite: no witness is declared, so nothing says which backups were ever opened; declare the "
            "witness_store that DR writes to, or the file"
        )
    return repository_to_write(config, writers_in(secrets, folder)), secrets[SIGNING_KEY]


def say_decisions(decisions: tuple[Decision, ...], *, as_json: bool) -> None:
    """Print what becomes of each backup, newest first."""
    rows = [
        {
            "id": one.entry.backup_id,
            "snapshot": one.entry.snapshot_at.isoformat(timespec="seconds") if one.entry.snapshot_at else "",
            "stored_bytes": one.entry.size,
            "fate": "expires" if one.expires else "kept" if one.kept else "locked",
            "why": ", ".join(one.kept) or (f"until {one.locked_until:%Y-%m-%d %H:%M} UTC" if one.locked_until else ""),
        }
        for one in decisions
    ]
    if as_json:
        say_text(json.dumps(rows, indent=2))
        return
    columns = ("id", "snapshot", "stored_bytes", "fate", "why")
    say_table(columns, [tuple(str(row[name]) for name in columns) for row in rows])
