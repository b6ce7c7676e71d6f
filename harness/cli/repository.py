"""Commands about the repository itself."""

import typer

from harness.cli.app import ESTATE, ConfigFile, app, help_alone, say, warn

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
