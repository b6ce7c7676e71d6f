"""Commands about recipient keys."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.cli.app import app, out
from harness.core.errors import UsageError
from harness.repository.format.recipients import new_pair

keys_app = typer.Typer(help="Recipient keys: what backups are sealed to.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@keys_app.command("new")
def keys_new(name: str, private: Path, public: Path) -> None:
    """Make a recipient pair: NAME.pem (0600) into folder PRIVATE, NAME.pub into folder PUBLIC."""
    if private.resolve() == public.resolve():
        raise UsageError(f"{private}: the private half may not lie beside the public one, which the primary reads")
    for folder, suffix in ((private, "pem"), (public, "pub")):
        if (folder / f"{name}.{suffix}").exists():
            raise UsageError(
                f"{folder / name}.{suffix}: exists; a key that is lost cannot be made again, so none is overwritten"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    halves = new_pair()
    for path, text, mode in (
        (private / f"{name}.pem", halves[0], 0o600),
        (public / f"{name}.pub", halves[1], 0o644),
    ):
        path.touch(mode=mode)
        path.write_bytes(text)
        out.print(str(path))
