"""Odd sign-offs, and files that somebody adds to the folder of a record."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.attestation.sign_off import KIND, SignedOff, sign_off, signed_off_by
from harness.attestation.verify import verify
from harness.core.errors import Refused, Unreadable
from harness.evidence.format.record_file import canonical
from harness.signing import read_signing_key, sign
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
