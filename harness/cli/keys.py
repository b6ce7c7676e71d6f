"""Commands about recipient keys."""

from pathlib import Path

import typer

from harness.cli.app import app, help_alone, say

keys_app = typer.Typer(help="Recipient keys: what backups are sealed to.", rich_markup_mode=None)
keys_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(keys_app, name="keys")


@keys_app.command("new")
def keys_new(name: str, private: Path, public: Path) -> None:
    """Make a pair of keys: NAME.pem (0600) into PRIVATE, NAME.pub into PUBLIC."""
    from harness.core.errors import UsageError
    from harness.repository.format.recipients import new_pair

    if private.resolve() == public.resolve():
        raise UsageError(
            f"{private}: the private key may not be in that folder: the primary reads the public one there"
        )
    for folder, suffix in ((private, "pem"), (public, "pub")):
        if (folder / f"{name}.{suffix}").exists():
            raise UsageError(
                f"{folder / name}.{suffix}: exists and is not overwritten, as a lost key cannot be made again"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    halves = new_pair()
    for path, text, mode in ((private / f"{name}.pem", halves[0], 0o600), (public / f"{name}.pub", halves[1], 0o644)):
        path.touch(mode=mode)
        path.write_bytes(text)
        say(str(path))
