"""Commands about keys: of recipients, which open backups; of the writer, which signs them; of the drill targets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import ESTATE, ConfigFile, app, help_alone, say, warn

if TYPE_CHECKING:
    from harness.estate.config import Config
    from harness.repository.upkeep.rewrap import Rewrapped

    Files = Mapping[Path, bytes]

keys_app = typer.Typer(help="Make and change the keys that seal and sign backups.", rich_markup_mode=None)
keys_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(keys_app, name="keys")

# Folders beside the declaration, where it declares none.
WRITER, TARGETS = "writer", "targets"
FOLDER = {one: Path("secrets", one) for one in ("primary", "dr", "escrow", TARGETS)}


@keys_app.command("new")
def keys_new(
    name: Annotated[
        str | None,
        typer.Argument(
            help="dr, escrow: recipients. writer: signs backups. All three when left out. targets: signs drill targets."
        ),
    ] = None,
    private: Annotated[Path | None, typer.Argument(help="Folder of the private key.")] = None,
    public: Annotated[
        Path | None, typer.Argument(help="Folder of the public key: the secrets of the site that reads it.")
    ] = None,
    config: Annotated[Path, typer.Option("--config", help="The declaration that names the folders left out.")] = ESTATE,
) -> None:
    """Make the key pairs of recipients, of the writer or of the drill targets, under the names that commands read.

    Of a recipient: recipient.pem (0600) into PRIVATE, recipient-NAME.pub into PUBLIC. Of the writer: writer.pem (0600)
    into PRIVATE, writer-FINGERPRINT.pub into PUBLIC and into PRIVATE. Of the drill targets: drill-targets.pem (0600)
    into PRIVATE, drill-targets.pub into PUBLIC. Folders that are left out are the secrets of the sites under
    [existing], else secrets/primary, secrets/dr, secrets/escrow and secrets/targets beside the declaration;
    drill-targets.pub is put where targets_key is declared to be, else beside the declaration.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.secrets import HOLDERS

    if name is not None and name not in (*HOLDERS, WRITER, TARGETS):
        raise UsageError(f"{name}: no key of that name is read by any command; write dr, escrow, writer or targets")
    declared = load_config(config) if config.is_file() and (private is None or public is None) else None
    pairs = {}
    for one in [name] if name else (*HOLDERS, WRITER):
        kept = private or private_folder(one, declared, config)
        given = public or public_folder(one, declared, config)
        if kept.resolve() == given.resolve():
            raise UsageError(f"{kept}: private and public key may not be in one folder: two sites read them")
        pairs[one] = files_of(one, kept, given, None if public else pinned_in(declared))
    for path in [path for files in pairs.values() for path in files]:
        if path.exists():
            raise UsageError(
                f"{path}: exists and is not overwritten, as a lost key cannot be made again; name another folder"
            )
    for folder in dict.fromkeys(path.parent for files in pairs.values() for path in files):  # before a key is made
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be a folder of keys ({error.strerror}); name another") from None
    for files in pairs.values():
        write_files(files)
    if "escrow" in pairs:
        kept = next(iter(pairs["escrow"]))
        warn(f"blackstart: move {kept} to a machine that stays offline; it is needed if DR's key is lost")


@keys_app.command("rewrap")
def keys_rewrap(
    private: Annotated[Path, typer.Option(help="Private key of a recipient, which opens the backups.")],
    add: Annotated[list[Path] | None, typer.Option(help="Public key of a new recipient; may be repeated.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="Public key or fingerprint of a recipient to remove; may be repeated.")
    ] = None,
    config: ConfigFile = ESTATE,
) -> None:
    """Add or remove recipients of all backups and WAL of [existing.offsite], without touching their data.

    A line for each backup and each run of WAL, with what was changed or why it was not. Exit code 3 when one was not
    changed, or when the bucket may keep older versions of what was removed. What a removed recipient has opened before,
    he can still read.
    """
    from harness.core.errors import UsageError
    from harness.estate.config import load_config
    from harness.estate.existing import reader_secrets, repository_to_write, writers_in
    from harness.pem import fingerprint
    from harness.repository.format.recipients import read_public
    from harness.repository.upkeep.rewrap import Rewrap, changes, out_of_reach
    from harness.vault import read_secret

    def key_in(path: Path) -> bytes:
        return read_secret(f"file:{path}")

    if not add and not remove:
        raise UsageError("keys rewrap: nothing to change; name a key with --add or --remove")
    removed = tuple(fingerprint(read_public(key_in(Path(one)))) if Path(one).is_file() else one for one in remove or ())
    change = Rewrap(tuple(map(key_in, add or ())), removed)
    declared = load_config(config)
    folder = folder_of("dr", declared, config)
    repository = repository_to_write(declared, writers_in(reader_secrets(declared, folder), folder))
    calls = changes(repository, key_in(private), change)  # a mistake is found before the first of them is changed
    failed = [name for name, call in calls.items() if not changed(name, call)]
    for name, why in out_of_reach(repository, repository.committed()):
        say(f"{name}  NOT CHANGED: {why}")
        failed.append(name)
    if failed:
        warn(f"blackstart: not done for: {', '.join(failed)}")
        raise typer.Exit(3)


def changed(name: str, change: "Callable[[], Rewrapped]") -> bool:
    """Change recipients, print what was changed and those there are then, or why not; return whether all was done."""
    from harness.core.errors import HarnessError

    try:
        done = change()
    except HarnessError as error:
        say(f"{name}  NOT CHANGED: {error}")
        return False
    words = [*(f"added {one}" for one in done.added), *(f"removed {one}" for one in done.removed)] or ["as it was"]
    say(f"{name}  {'; '.join(words)}; recipients: {', '.join(sorted(done.left))}")
    for key in done.staying:
        say(
            f"{name}  STAYS: {key} was deleted, older versions of it stay where the bucket keeps them: these keys may "
            "not list or delete versions, or the store has locked them; delete them with keys that may"
        )
    return not done.staying


def files_of(name: str, private: Path, public: Path, pinned: Path | None) -> "Files":
    """Return the files of a new pair of keys: path -> contents. `pinned`: where the key of drill targets is read."""
    from harness.restore_test.targets import PRIVATE, PUBLIC
    from harness.signing import new_signing_pair

    if name == WRITER:
        return writer_files(private, public)
    if name != TARGETS:
        return recipient_files(name, private, public)
    pair = new_signing_pair()
    return {private / PRIVATE: pair[0], pinned or public / PUBLIC: pair[1]}


def recipient_files(holder: str, private: Path, public: Path) -> "Files":
    """Return the files of a new recipient: path -> contents."""
    from harness.estate.secrets import PRIVATE_KEY, recipient_name
    from harness.repository.format.recipients import new_pair

    pair = new_pair()
    return {private / PRIVATE_KEY: pair[0], public / recipient_name(holder): pair[1]}


def writer_files(private: Path, public: Path) -> "Files":
    """Return the files of a new writer: path -> contents. The writer's own site reads its public key as well."""
    from harness.estate.secrets import SIGNING_KEY, verify_key_name
    from harness.signing import new_signing_pair

    pair = new_signing_pair()
    name = verify_key_name(pair[1])
    return {private / SIGNING_KEY: pair[0], private / name: pair[1], public / name: pair[1]}


def private_folder(name: str, declared: "Config | None", config: Path) -> Path:
    """Return the folder of the private key: its holder's secrets."""
    if name == TARGETS:
        return config.parent / FOLDER[TARGETS]
    return folder_of("primary" if name == WRITER else name, declared, config)


def public_folder(name: str, declared: "Config | None", config: Path) -> Path:
    """Return the folder of the public key: the secrets of the site that reads it."""
    if name != TARGETS:
        return folder_of("dr" if name == WRITER else "primary", declared, config)
    pinned = pinned_in(declared)
    return pinned.parent if pinned is not None else config.parent


def pinned_in(declared: "Config | None") -> Path | None:
    """Return the declared file of the key of drill targets."""
    return declared.existing.targets_key if declared is not None and declared.existing is not None else None


def folder_of(holder: str, declared: "Config | None", config: Path) -> Path:
    """Return the folder of a holder's secrets: as declared under [existing], else beside the declaration."""
    site = getattr(declared.existing, holder, None) if declared is not None and declared.existing is not None else None
    folder: Path = site.secrets if site is not None else config.parent / FOLDER[holder]
    return folder


def write_files(files: "Files") -> None:
    """Write the new files of a pair of keys, the private one with mode 0600, and print their paths. Raises OSError."""
    for path, text in files.items():
        path.touch(mode=0o600 if path.suffix == ".pem" else 0o644, exist_ok=False)
        path.write_bytes(text)
        say(str(path))
