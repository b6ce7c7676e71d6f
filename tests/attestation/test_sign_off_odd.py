"""Odd sign-offs, and files that somebody adds to the folder of a record."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.attestation.sign_off import KIND, SignedOff, sign_off, signed_off_by
from harness.attestation.verify import verify
from harness.core.errors import Refused, Unreadable
from harness.evidence.format.record_file import canonical
from harness.signing import read_signing_key, read_verify_key, sign
from tests.attestation.conftest import Sealed
from tests.attestation.test_sign_off import OWNER, changed, run
from tests.attestation.test_verify import alone

pytestmark = pytest.mark.attacks
TIMES = ("2001-01-01T00:00:00.000+00:00", "2999-01-01T00:00:00.000+00:00", "2999-01-01", "soon")


@pytest.mark.parametrize("at", TIMES)
def test_a_sign_off_before_the_end_or_in_the_future_is_refused(sealed: Sealed, at: str) -> None:
    sign_off(sealed.folder, "The Owner", "", None)
    changed(sealed, at=at)
    done = run("verify", sealed.folder, "--key", sealed.pem)
    assert done.exit_code == 1
    assert f"signed off at {at}, which is before the record ended, or in the future" in done.output


@pytest.mark.damages_records
def test_a_sign_off_while_the_clock_is_behind_is_not_written(sealed: Sealed) -> None:
    path = sealed.folder / "record.json"
    finished = json.loads(path.read_bytes())["finished"].encode()
    path.write_bytes(path.read_bytes().replace(b'"finished":"' + finished, b'"finished":"2999-01-01T00:00:00+00:00'))
    with pytest.raises(Refused, match="later than now: correct the clock"):
        sign_off(sealed.folder, "The Owner", "", None)
    assert not list(sealed.folder.glob("sign-off-*"))


@pytest.mark.damages_records
def test_a_sign_off_of_another_record_is_refused(sealed: Sealed, tmp_path: Path) -> None:
    sign_off(sealed.folder, "The Owner", "", read_signing_key(OWNER[0]))
    other = Path(shutil.copytree(sealed.folder, tmp_path / "other"))
    (other / "record.json").write_bytes((sealed.folder / "record.json").read_bytes().replace(b'"tests"', b'"other"'))
    with pytest.raises(Unreadable, match="of another record"):
        signed_off_by(other)


def test_the_key_of_the_records_is_no_persons(sealed: Sealed) -> None:
    """Whoever has it could otherwise show a drill as signed off by anybody."""
    with pytest.raises(Refused, match="that key signs the records; a person signs off with a key of their own"):
        sign_off(sealed.folder, "The Owner", "", sealed.private)
    digest = hashlib.sha256((sealed.folder / "record.json").read_bytes()).hexdigest()
    mine = sealed.record.signing_key.removeprefix("ed25519 ")
    note = canonical(asdict(SignedOff("The Owner", sealed.record.finished or "", digest, "", mine)))
    (sealed.folder / "sign-off-0.json").write_bytes(sign(KIND, note, [sealed.private]))
    assert "(NOT A PERSON'S: signed with the key that signs the records)" in signed_off_by(
        sealed.folder, [sealed.public]
    )


def test_whatever_is_named_as_a_sign_off_is_read_as_one(sealed: Sealed) -> None:
    for name, content in (("sign-off-note.txt", b"I agree"), ("sign-off-big.json", b" " * 70_000)):
        (sealed.folder / name).write_bytes(content)
        with pytest.raises(Unreadable, match=f"{name}: not a sign-off"):
            signed_off_by(sealed.folder)
        (sealed.folder / name).unlink()


@pytest.mark.parametrize("name", ["x\x1b[2J", "x\u202ey", "x" * 501])
def test_a_name_that_cannot_be_shown_signs_nothing_off(sealed: Sealed, name: str) -> None:
    with pytest.raises(Refused, match="needs the name of a person"):
        sign_off(sealed.folder, name, "", None)
    with pytest.raises(Refused, match="--remark: has a character that cannot be shown"):
        sign_off(sealed.folder, "The Owner", f"{name[:2]}\x07", None)


def test_a_file_that_was_added_is_named_and_refused_by_both(sealed: Sealed) -> None:
    for name in ("README.md", "phases.svg.exe", "inputs.toml", "more/logs/a"):
        (sealed.folder / name).parent.mkdir(exist_ok=True, parents=True)
        (sealed.folder / name).write_text("all is well")
        (refusal,) = verify(sealed.folder, [sealed.public]).refusals
        assert refusal.startswith(f"file: {name} is no file of a record")
        assert f"file: ['{name}'] is not signed" in alone(sealed).stderr
        (sealed.folder / name).unlink()
    (sealed.folder / "logs/more.log").write_text("logs are not signed, and may be added")
    sign_off(sealed.folder, "The Owner", "", None)
    assert verify(sealed.folder, [sealed.public]).refusals == ()
    assert alone(sealed).returncode == 0


def test_the_stand_alone_verifier_says_who_signed_off(sealed: Sealed) -> None:
    assert alone(sealed).stdout.endswith("; nobody signed off\n")
    sign_off(sealed.folder, "A Name", "seen", None)
    sign_off(sealed.folder, "The Owner", "", read_signing_key(OWNER[0]))
    said = alone(sealed)
    assert ("'A Name' at" in said.stdout, "(by name, without a key)" in said.stdout) == (True, True), said.stderr
    assert "not verified" in said.stdout
    owner = sealed.pem.with_name("owner.pub")
    owner.write_bytes(OWNER[1])
    said = alone(sealed, "--key", str(owner))
    assert ("signed with key" in said.stdout, "not verified" in said.stdout) == (True, False), said.stderr


def altered(data: dict[str, Any], **fields: str) -> dict[str, Any]:
    note = json.loads(base64.b64decode(data["payload"]))
    return {**data, "payload": base64.b64encode(canonical({**note, **fields})).decode()}


def unsigned(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "signatures": [{**data["signatures"][0], "sig": base64.b64encode(bytes(64)).decode()}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unsigned, "does not verify"),
        (lambda data: altered(data, by="The Board"), "does not verify"),
        (lambda data: altered(data, record_sha256="0" * 64), "does not verify|of another record"),
        (lambda data: altered(data, key="0" * 32), "says that it is signed with key"),
        (lambda data: json.loads(base64.b64decode(data["payload"])), "says that it is signed with key"),
    ],
    ids=["signature", "name", "record", "key", "no envelope"],
)
def test_a_sign_off_that_was_forged_is_refused_by_both(
    sealed: Sealed, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    path = sign_off(sealed.folder, "The Owner", "", read_signing_key(OWNER[0]))
    owner = sealed.pem.with_name("owner.pub")
    owner.write_bytes(OWNER[1])
    assert alone(sealed, "--key", str(owner)).returncode == 0
    path.write_text(json.dumps(change(json.loads(path.read_bytes()))))
    with pytest.raises(Unreadable, match=said):
        signed_off_by(sealed.folder, [sealed.public, read_verify_key(OWNER[1])])
    done = alone(sealed, "--key", str(owner))
    assert (done.returncode, "REFUSED" in done.stderr) == (1, True), done.stdout


@pytest.mark.parametrize(
    "fields",
    [{"at": TIMES[0]}, {"at": TIMES[1]}, {"record_sha256": "0" * 64}, {"by": "x\x1b[2J"}, {"by": " "}, {"format": "2"}],
)
def test_an_odd_sign_off_by_name_is_refused_by_both(sealed: Sealed, fields: dict[str, str]) -> None:
    sign_off(sealed.folder, "The Owner", "", None)
    changed(sealed, **fields)
    with pytest.raises(Unreadable):
        signed_off_by(sealed.folder)
    assert "REFUSED  sign-off: sign-off-" in alone(sealed).stderr
