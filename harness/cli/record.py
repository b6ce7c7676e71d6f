"""Commands about records: verify them, sign one off, make the key that signs them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import REPORTS, Reports, app, help_alone, say, say_text, warn

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from harness.attestation.verify import Verified

record_app = typer.Typer(help="Records of drills: verify, sign off, keys.", rich_markup_mode=None)
record_app.callback(invoke_without_command=True)(help_alone)
app.add_typer(record_app, name="record")
keys_app = typer.Typer(help="The key that signs records.", rich_markup_mode=None)
keys_app.callback(invoke_without_command=True)(help_alone)
record_app.add_typer(keys_app, name="keys")

PRIVATE, PUBLIC = Path("secrets/record.pem"), Path("record.pub")
REFUSED, UNCHECKED = 1, 3  # exit codes
PublicKeys = Annotated[
    list[Path] | None, typer.Option("--key", help="Public key, from outside the bundle; several when it was changed.")
]


@record_app.command("verify")
def verify_command(
    folder: Annotated[Path | None, typer.Argument(help="A record folder.")] = None,
    key: PublicKeys = None,
    drill: Annotated[str, typer.Option(help="The drill that it must be, by name.")] = "",
    since: Annotated[str, typer.Option(help="When it must have ended at the earliest, in ISO 8601.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Verify all records, and that none was removed.")] = False,
    head: Annotated[str, typer.Option(help="With --all: a head of the chain that was noted earlier.")] = "",
    reports: Reports = REPORTS,
) -> None:
    """Verify a record with a public key that was not in its folder.

    Signature, hashes, the chain of the journal, budgets, and the verdict, which is judged again. Exit code 0 good, 1
    refused, 3 not checked for want of a key.
    """
    from harness.attestation.verify import Expected, verify
    from harness.core.errors import UsageError
    from harness.signing import read_verify_key

    if (folder is None) != everything:
        raise UsageError("name one record folder, or --all; as in `blackstart record verify FOLDER --key record.pub`")
    keys = [read_verify_key(_content(path)) for path in key or ()]
    if everything:
        raise typer.Exit(_verify_all(reports, keys, head))
    if folder is None or not folder.is_dir():
        raise UsageError(f"{folder}: no such record folder")
    found = verify(folder, keys, Expected(drill, moment(since)))
    code = _show(folder, found, keys)
    if not keys:
        warn("blackstart: the signature was not checked: give the public key with --key")
        code = code or UNCHECKED
    raise typer.Exit(code)


def _verify_all(reports: Path, keys: list[Ed25519PublicKey], head: str) -> int:
    from harness.attestation.verify_all import verify_all
    from harness.core.errors import UsageError

    if not (reports / "drills").is_dir():
        raise UsageError(f"{reports}/drills: no record there; name the folder with --reports")
    found = verify_all(reports, keys, head)
    codes = [_show(reports / "drills" / name, one, keys) for name, one in found.records]
    for name in found.unfinished:
        say(f"UNKNOWN  {name}: not concluded, and so not signed")
    for name in found.withdrawn:
        say(f"no record  {name}: withdrawn, as it judged nothing; its journal says what it did")
    for line in found.refusals:
        say(f"REFUSED  {line}")
    say(f"{len(found.records)} records; head of the chain: {found.head or 'none'}")
    if not keys:
        warn("blackstart: no signature was checked: give the public key with --key")
    return REFUSED if found.refusals or any(codes) else (0 if keys else UNCHECKED)


def _show(folder: Path, found: Verified, keys: list[Ed25519PublicKey]) -> int:
    """Print what came of one record; return the exit code."""
    from harness.attestation.sign_off import signed_off_by
    from harness.core.errors import Unreadable

    refusals = list(found.refusals)
    signed_off = ""
    try:
        signed_off = signed_off_by(folder, keys)
    except Unreadable as error:
        refusals.append(f"sign-off: {error}")
    for line in refusals:
        say(f"REFUSED  {folder.name}: {line}")
    if found.record is not None and not refusals:
        word = "VERIFIED" if keys else "UNCHECKED"
        say(f"{word} {folder.name}: {found.record.drill}: {found.record.verdict}; {signed_off}")
    return REFUSED if refusals else 0


@record_app.command("sign-off")
def sign_off_command(
    folder: Annotated[Path, typer.Argument(help="A record folder.")],
    name: Annotated[str, typer.Option("--as", help="Who signs off.")],
    key: Annotated[Path | None, typer.Option("--key", help="Their private key; without one, the name alone.")] = None,
    remark: Annotated[str, typer.Option(help="What they say to it.")] = "",
) -> None:
    """Sign off a record, as a person. It is written beside the record, with its hash and the time.

    A record that contradicts its journal and ledger is refused.
    """
    from harness.attestation.sign_off import sign_off
    from harness.attestation.verify import verify
    from harness.core.errors import Refused, Unreadable, UsageError
    from harness.signing import read_signing_key

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such record folder")
    private = None if key is None else read_signing_key(_content(key))
    found = verify(folder, ())
    wrong = list(found.refusals)
    if found.record is not None and found.record.finished is None:
        wrong = ["it was not concluded"]
    if wrong:
        raise Refused(f"{folder}: not signed off: {wrong[0]}")
    try:
        say(str(sign_off(folder, name, remark, private)))
    except Unreadable as error:
        raise UsageError(str(error)) from None


@keys_app.command("new")
def keys_new(
    private: Annotated[Path, typer.Argument(help="File of the private key.")] = PRIVATE,
    public: Annotated[Path, typer.Argument(help="File of the public key, to be kept apart from the records.")] = PUBLIC,
) -> None:
    """Make the key pair that signs records: an Ed25519 key in PEM.

    Name the private one in drill.toml, `key = "file:secrets/record.pem"`, or in BLACKSTART_RECORD_KEY. Give the public
    one to whoever is to verify records.
    """
    from harness.core.errors import UsageError
    from harness.signing import new_signing_pair

    for path in (private, public):
        if path.exists():
            raise UsageError(f"{path}: exists and is not overwritten; name another file")
    private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    public.parent.mkdir(parents=True, exist_ok=True)
    for path, text, mode in zip((private, public), new_signing_pair(), (0o600, 0o644), strict=True):
        path.touch(mode=mode, exist_ok=False)
        path.write_bytes(text)
        say(str(path))


@record_app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of record.json."""
    import json

    from harness.evidence.format.record_file import schema

    say_text(json.dumps(schema(), indent=1, ensure_ascii=False))


def moment(text: str) -> datetime | None:
    """Return a time in ISO 8601, in UTC when it names no zone; None for "". Raises UsageError."""
    from harness.core.errors import UsageError

    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text}: not a time in ISO 8601, such as 2026-05-01T02:00:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _content(path: Path) -> bytes:
    from harness.core.errors import UsageError

    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"--key {path}: {error.strerror}") from None
