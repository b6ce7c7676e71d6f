"""Commands about the repository itself."""

from typing import Annotated

import typer

from harness.cli.app import ESTATE, AsJson, ConfigFile, app, help_alone, say, say_json, say_table, warn

repository_app = typer.Typer(help="Make the place of a repository ready.", rich_markup_mode=None)
repository_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(repository_app, name="repository")


@repository_app.command("new")
def repository_new(config: ConfigFile = ESTATE) -> None:
    """Mark the declared folder, which is empty and mounted, as a repository.

    Without its marker a folder is not used, so that nothing is written below a mount point whose disk is not mounted.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.existing import connect_offsite
    from harness.repository.store.directory.marker import mark

    where = connect_offsite(load_config(config))
    if where.directory is None:
        raise UsageError("existing.offsite.s3: a bucket needs no marker; make it with your store's own program")
    if warning := mark(where.directory):
        warn(f"blackstart: warning: {warning}")
    say(f"{where.directory}: is a repository")


@repository_app.command("probe")
def repository_probe(
    config: ConfigFile = ESTATE,
    again: Annotated[bool, typer.Option("--again", help="Also where it was done before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try once what the declared store can do, and keep the result in the repository: `blackstart check` shows it.

    Needs keys that may write. Exit code 1: the store lacks what a repository needs.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.connections import Connections
    from harness.estate.existing import connect_offsite
    from harness.repository.store.probe import known, probe

    loaded = load_config(config)
    where = connect_offsite(loaded)
    if where.read_only:
        raise UsageError("existing.offsite.read_only: a store is probed by writing to it; set it to false for this")

    store = Connections(loaded, (), where).store
    before = None if again else known(store, loaded.estate.name)
    found = before or probe(store, loaded.estate.name)
    if as_json:
        say_json({"at": found.at.isoformat(timespec="seconds"), **found.found})
    else:
        say_table(("ability", f"probed {found.at:%Y-%m-%d %H:%M} UTC"), tuple(found.found.items()))
    if found.lacking:
        warn(f"FINDING: {where}: cannot hold a repository: {', '.join(found.lacking)}")
        raise typer.Exit(1)
