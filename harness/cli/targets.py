"""Commands about the list of drill targets: the sites that a restore test may use."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import ESTATE, AsJson, ConfigFile, app, help_alone, say, say_json, say_text, warn

UNREAD = 3  # exit code: an identity could not be read
targets_app = typer.Typer(help="Write and sign the list of drill targets.", rich_markup_mode=None)
targets_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(targets_app, name="targets")


@targets_app.command("show")
def targets_show(
    config: ConfigFile = ESTATE,
    bucket: Annotated[str, typer.Option(help="The bucket whose tag is read [default: the first with a tag].")] = "",
    as_json: AsJson = False,
) -> None:
    """Print the identities of the declared DR site, as an entry of the list of drill targets. Nothing is changed.

    Check that this is the DR site before you add it to the list. Exit code 3: an identity could not be read.
    """
    from harness.estate.config import load_config
    from harness.restore_test.identities import identities_of

    found = identities_of(load_config(config), bucket)
    if as_json:
        facts = {"system": found.system, "tags": found.tags, "cluster": found.cluster, "unread": found.unread}
        say_json(facts)
    else:
        say_text(found.entry())
        for line in found.unread:
            warn(f"blackstart: {line}")
    if found.unread:
        raise typer.Exit(UNREAD)


@targets_app.command("sign")
def targets_sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list, drill-targets.toml.")],
    key: Annotated[
        Path, typer.Option("--key", help="The private key: drill-targets.pem of `blackstart keys new targets`.")
    ],
) -> None:
    """Sign the list of drill targets: FILE.dsse.json beside FILE. Sign it again after every change."""
    from harness.core.clock import SYSTEM
    from harness.restore_test.targets import sign_targets
    from harness.vault import read_secret

    say(str(sign_targets(file, read_secret(f"file:{key}"), SYSTEM.wall().date())))
