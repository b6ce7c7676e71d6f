"""Command that makes an old primary a standby of the server that was promoted in its place."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer

from harness.cli.app import ESTATE, REPORTS, ConfigFile, LiveFile, Reports, app, help_alone, runs, say, warn
from harness.cli.backup import LIVE
from harness.cli.restore import PASSWORD

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

    WAL that the data folder no longer has is taken from the repository. What the old primary alone has is printed, and
    lost with --apply: it is a mistake unless --discard names the position from which on. Its settings are kept.
    """
    from harness.backup.verify import Where, reader_of
    from harness.cli.keys import folder_of
    from harness.core.errors import UsageError
    from harness.core.wal import read_lsn, show_lsn
    from harness.estate.config import load_config
    from harness.estate.server_tables import server_of_url
    from harness.evidence.journal import JournalFile
    from harness.physical.standby.old_primary import plan_rewind
    from harness.physical.standby.rewind import rewind

    given, loaded = read_lsn(discard) if discard else None, load_config(config)
    sql, database = server_of_url("--promoted", promoted, password)
    if database:
        raise UsageError("--promoted: names a database; a server follows all of them: postgresql://USER@HOST:PORT")
    if passfile is not None and not passfile.is_file():
        raise UsageError(f"--passfile {passfile}: no such file")
    repository, key = reader_of(loaded, Where(at, folder_of("dr", loaded, config), reports))
    if key is None:
        raise UsageError("standby: DR's private key (recipient.pem) is not among the declared secrets; add it there")
    plan = plan_rewind(folder, sql, repository, key)
    old, history = plan.old, plan.promoted.history
    say(f"{old.folder}: database system {old.system}, timeline {old.timeline}, {old.control['Database cluster state']}")
    left = f", left the one before at {show_lsn(history[-1].at)}" if history else ""
    say(f"{sql}: promoted, timeline {plan.promoted.identity.timeline}{left}")
    if plan.followed:
        say("nothing to rewind: both are on the same timeline")
        return
    say(f"LOST with --apply: {plan.own}" if plan.own else "nothing to rewind: it has nothing that the other one lacks")
    if not apply:
        more = f" --discard {show_lsn(plan.own.fork.at)}" if plan.own else ""
        warn(f"nothing was changed; --apply{more} has it follow {sql}")
        return
    logs = runs().parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    rewind(plan, given, passfile, JournalFile(logs / f"rewind-{token_hex(4)}.jsonl"))
    say(f"REWOUND {old.folder}: follows {sql} when it is started; take a new physical backup of that one")
