"""Command that makes an old primary a standby of the server that was promoted in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, REPORTS, ConfigFile, LiveFile, Reports, app, help_alone, runs, say
from harness.cli.backup import LIVE
from harness.cli.restore import PASSWORD

if TYPE_CHECKING:
    from harness.backup.verify import Where
    from harness.estate.config import Config
    from harness.physical.standby.old_primary import Plan
    from harness.physical.standby.shelf import Source
    from harness.repository.catalogue import Repository

standby_app = typer.Typer(help="Have an old primary follow the promoted server: rewind.", rich_markup_mode=None)
standby_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(standby_app, name="standby")


@standby_app.command("rewind")
def standby_rewind(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The data folder of the old primary, stopped.")],
    promoted: Annotated[
        str, typer.Option("--promoted", help="postgresql://USER@HOST:PORT of the promoted server, without a password.")
    ],
    password: Annotated[str, typer.Option(help="Of that user: env:NAME or file:PATH.")] = PASSWORD,
    passfile: Annotated[
        Path | None,
        typer.Option(help="libpq's password file that the rewound server reads, when it follows with a password."),
    ] = None,
    discard: Annotated[
        str, typer.Option(metavar="LSN", help="Give up what the old primary alone has, from there on.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Rewind it; without it nothing is changed.")] = False,
    config: ConfigFile = ESTATE,
    at: LiveFile = LIVE,
    reports: Reports = REPORTS,
) -> None:
    """Make an old primary a standby of the server that was promoted in its place, by pg_rewind. It is not started.

    WAL that neither has any more is taken from the repository, with DR's private key, which is not needed otherwise.
    What the old primary alone has is printed, and lost with --apply: it is a mistake unless --discard names the
    position from which on. All files in the folder that PostgreSQL did not make (settings, keys, logs) are kept.
    """
    from harness.backup.verify import Where
    from harness.cli.keys import folder_of
    from harness.core.errors import Unreadable, UsageError
    from harness.core.wal import read_lsn
    from harness.estate.config import load_config
    from harness.estate.existing import new_run, workspace
    from harness.estate.server_tables import server_of_url
    from harness.evidence.journal import JournalFile
    from harness.physical.standby.old_primary import plan_rewind
    from harness.physical.standby.rewind import rewind
    from harness.substrate.embedded.process_tree import Owner

    try:
        given = read_lsn(discard) if discard else None
    except Unreadable as error:
        raise UsageError(f"--discard {error}") from None
    sql, database = server_of_url("--promoted", promoted, password)
    if database:
        raise UsageError("--promoted: names a database; a server follows all of them: postgresql://USER@HOST:PORT")
    if passfile is not None and not passfile.is_file():
        raise UsageError(f"--passfile {passfile}: no such file")
    loaded = load_config(config)
    source = _source(loaded, Where(at, folder_of("dr", loaded, config), reports))
    run, logs = new_run(runs(), "rewind"), runs().parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with workspace(run, logs):  # a sweep of it removes the password of pg_rewind, where this command is killed
        plan = plan_rewind(folder, sql, source, Owner(run, "rewind/pg_rewind").tags)
        if not say_plan(plan) or not apply:
            return
        rewind(plan, given, passfile, JournalFile(logs / f"{run.name}.jsonl"))
    say(f"REWOUND {plan.old.folder}: follows {sql} when it is started; take a new physical backup of that one")


def _source(config: Config, where: Where) -> Source:
    """Return what gives the repository and DR's private key, once WAL of it is needed; it raises HarnessError."""
    from harness.backup.verify import reader_of
    from harness.core.errors import UsageError

    def opened() -> tuple[Repository, bytes]:
        repository, key = reader_of(config, where)
        if key is None:
            raise UsageError("DR's private key (recipient.pem) is not among the declared secrets; add it there")
        return repository, key

    return opened


def say_plan(plan: Plan) -> bool:
    """Print what a rewind would do; return whether there is something to do."""
    from harness.core.wal import show_lsn

    old, promoted = plan.old, plan.promoted
    say(f"{old.folder}: database system {old.system}, timeline {old.timeline}, {old.control['Database cluster state']}")
    left = f", left the one before at {show_lsn(promoted.history[-1].at)}" if promoted.history else ""
    say(f"{promoted.sql}: promoted, timeline {promoted.identity.timeline}{left}")
    if plan.followed:
        say("nothing to rewind: both are on the same timeline")
    elif plan.own is None:
        say("nothing to rewind: it has nothing that the other one lacks; --apply has it follow that")
    else:
        say(f"LOST with --apply --discard {show_lsn(plan.own.fork.at)}: {plan.own}")
    return not plan.followed
