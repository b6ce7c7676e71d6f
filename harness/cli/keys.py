"""Commands about recipient keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, app, help_alone, say, warn

if TYPE_CHECKING:
    from harness.estate.config import Config

keys_app = typer.Typer(help="Recipient keys: what backups are sealed to.", rich_markup_mode=None)
keys_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(keys_app, name="keys")

# Folders beside the declaration, where it declares none.
FOLDER = {"primary": Path("secrets/primary"), "dr": Path("secrets/dr"), "escrow": Path("secrets/escrow")}


@keys_app.command("new")
def keys_new(
    name: Annotated[str | None, typer.Argument(help="dr or escrow; both when left out.")] = None,
    private: Annotated[Path | None, typer.Argument(help="Folder of the private key.")] = None,
    public: Annotated[Path | None, typer.Argument(help="Folder of the public key: the secrets of the primary.")] = None,
    config: Annotated[Path, typer.Option("--config", help="The declaration that names the folders left out.")] = ESTATE,
) -> None:
    """Make the key pairs of recipients, under the names that the other commands read.

    recipient.pem (0600) into PRIVATE, and recipient-NAME.pub into PUBLIC. Folders that are left out are the secrets of
    the sites under [existing], else secrets/primary, secrets/dr and secrets/escrow beside the declaration.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.secrets import HOLDERS, PRIVATE_KEY, recipient_name

    if name is not None and name not in HOLDERS:
        raise UsageError(f"{name}: no recipient of that name is read by any command; write dr or escrow")
    declared = load_config(config) if config.is_file() and (private is None or public is None) else None
    pairs = {}
    for one in [name] if name else HOLDERS:
        kept = private or folder_of(one, declared, config)
        given = public or folder_of("primary", declared, config)
        if kept.resolve() == given.resolve():
            raise UsageError(
                f"{kept}: the private key may not be in that folder: the primary reads the public one there"
            )
        pairs[one] = (kept / PRIVATE_KEY, given / recipient_name(one))
    for path in [path for pair in pairs.values() for path in pair]:
        if path.exists():
            raise UsageError(
                f"{path}: exists and is not overwritten, as a lost key cannot be made again; name another folder"
            )
    for folder in dict.fromkeys(path.parent for pair in pairs.values() for path in pair):  # all, before a key is made
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be a folder of keys ({error.strerror}); name another") from None
    for kept, given in pairs.values():
        write_pair(kept, given)
    if "escrow" in pairs:
        warn(f"blackstart: move {pairs['escrow'][0]} to a machine that stays offline; it is needed if DR's key is lost")


def folder_of(holder: str, declared: "Config | None", config: Path) -> Path:
    """Return the folder of a holder's secrets: as declared under [existing], else beside the declaration."""
    site = getattr(declared.existing, holder, None) if declared is not None and declared.existing is not None else None
    folder: Path = site.secrets if site is not None else config.parent / FOLDER[holder]
    return folder


def write_pair(private: Path, public: Path) -> None:
    """Write a new pair of keys to two new files, and print their paths. Raises OSError."""
    from harness.repository.format.recipients import new_pair

    for path, text, mode in zip((private, public), new_pair(), (0o600, 0o644), strict=True):
        path.touch(mode=mode, exist_ok=False)
        path.write_bytes(text)
        say(str(path))
