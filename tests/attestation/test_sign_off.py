"""Sign-off is the act of a person; the commands about records, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.attestation.sign_off import LARGEST, sign_off, sign_offs, signed_off_by
from harness.cli import app
from harness.core.errors import HarnessError, Refused, Unreadable, UsageError
from harness.core.record import NOBODY
from harness.evidence.journal import read_journal
from harness.signing import new_signing_pair, read_signing_key, read_verify_key
from tests.attestation.conftest import Sealed
from tests.attestation.test_verify import alone

OWNER = new_signing_pair()


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("record", *words)])


@pytest.mark.attacks
def test_the_program_never_signs_off(sealed: Sealed) -> None:
    """E5: the program wrote `signoff` itself."""
    assert signed_off_by(sealed.folder) == sealed.record.signed_off_by == NOBODY
    marks = [event for event in read_journal(sealed.folder / "journal.jsonl") if "sign" in event.kind]
    assert [(mark.kind, mark.facts["signed_off_by"]) for mark in marks] == [("awaits sign-off", NOBODY)]


def test_a_person_signs_off_by_name_and_by_key(sealed: Sealed, tmp_path: Path) -> None:
    (tmp_path / "owner.pem").write_bytes(OWNER[0])
    (tmp_path / "owner.pub").write_bytes(OWNER[1])
    assert run("sign-off", sealed.folder, "--as", "A. Reviewer").exit_code == 0
    by_key = run("sign-off", sealed.folder, "--as", "The Owner", "--key", tmp_path / "owner.pem", "--remark", "fine")
    assert by_key.exit_code == 0
    by_name, signed = sign_offs(sealed.folder, [read_verify_key(OWNER[1])])
    assert (by_name.by, by_name.key) == ("A. Reviewer", "")
    assert (signed.by, signed.remark) == ("The Owner", "fine")
    assert signed.key
    done = run("verify", sealed.folder, "--key", sealed.pem, "--key", tmp_path / "owner.pub")
    assert done.exit_code == 0
    assert "signed off by 'A. Reviewer' at " in done.output
    assert "(by name, without a key); 'The Owner' at" in done.output
    assert "nobody" not in done.output


def test_a_copy_of_a_sign_off_is_no_second_one(sealed: Sealed) -> None:
    path = sign_off(sealed.folder, "A. Reviewer", "", None)
    shutil.copy(path, path.with_name("sign-off-again.json"))
    for said in (signed_off_by(sealed.folder), alone(sealed).stdout):
        assert said.count("A. Reviewer") == 1, said


def test_a_folder_without_a_record_is_not_signed_off(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"has no record\.json"):
        sign_off(tmp_path, "A. Reviewer", "", None)
    assert not list(tmp_path.iterdir())


def changed(sealed: Sealed, **fields: str) -> None:
    (path,) = sealed.folder.glob("sign-off-*.json")
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"record_sha256": "00"}, "is of another record than this"),
        ({"key": "00ff"}, "says that it is signed with key 00ff, and is not"),
        ({"format": "blackstart-sign-off/9"}, "not a sign-off of this version"),
        ({"more": ""}, "not a sign-off"),
        ({"by": "The\nOwner"}, "not a sign-off \\(a name, a time or a key that is no text in one line"),
        ({"remark": "fine\x1b[2J"}, "not a sign-off \\(control characters in its remark"),
        ({"remark": "x" * LARGEST}, f"not a sign-off \\(larger than {LARGEST} bytes"),
    ],
)
def test_a_sign_off_that_was_changed_is_refused(sealed: Sealed, fields: dict[str, str], said: str) -> None:
    sign_off(sealed.folder, "The Owner", "", None)
    changed(sealed, **fields)
    with pytest.raises(Unreadable, match=said):
        signed_off_by(sealed.folder)
    done = run("verify", sealed.folder, "--key", sealed.pem)
    assert done.exit_code == 1
    assert f"REFUSED  {sealed.folder.name}: sign-off: " in done.output


def test_a_signed_sign_off_that_was_changed_is_refused_with_the_key_of_the_person(sealed: Sealed) -> None:
    path = sign_off(sealed.folder, "The Owner", "", read_signing_key(OWNER[0]))
    data = json.loads(path.read_bytes())
    data["signatures"][0]["sig"] = "AAAA"
    path.write_text(json.dumps(data))
    with pytest.raises(Unreadable, match="does not verify"):
        signed_off_by(sealed.folder, [read_verify_key(OWNER[1])])


def test_a_record_that_contradicts_itself_is_not_signed_off(sealed: Sealed) -> None:
    path = sealed.folder / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"verdict":"KEPT"', b'"verdict":"BROKEN"'))
    done = run("sign-off", sealed.folder, "--as", "The Owner")
    assert isinstance(done.exception, Refused)
    assert "not signed off: " in str(done.exception)
    assert not list(sealed.folder.glob("sign-off-*"))


@pytest.mark.parametrize("name", ["", "  ", "a\nb"])
def test_a_sign_off_needs_a_name(sealed: Sealed, name: str) -> None:
    with pytest.raises(Refused, match="needs the name of a person"):
        sign_off(sealed.folder, name, "", None)


def test_verify_says_what_it_did(sealed: Sealed) -> None:
    done = run("verify", sealed.folder, "--key", sealed.pem)
    assert (done.exit_code, done.stdout) == (
        0, f"VERIFIED {sealed.folder.name}: drill in memory: KEPT; nobody signed off\n",
    )  # fmt: skip
    without = run("verify", sealed.folder)
    assert without.exit_code == 3
    assert without.stdout.startswith("UNCHECKED")
    assert "the signature was not checked" in without.stderr
    late = run("verify", sealed.folder, "--key", sealed.pem, "--since", "2099-01-01")
    assert late.exit_code == 1
    assert "replay: it ended at" in late.output


def test_verify_all_says_what_it_did(sealed: Sealed) -> None:
    reports = sealed.folder.parents[1]
    done = run("verify", "--all", "--reports", reports, "--key", sealed.pem)
    assert done.exit_code == 0
    assert "1 records; head of the chain: " in done.output
    assert run("verify", "--all", "--reports", reports).exit_code == 3
    shutil.rmtree(sealed.folder)
    gone = run("verify", "--all", "--reports", reports, "--key", sealed.pem)
    assert gone.exit_code == 1
    assert f"REFUSED  chain: record {sealed.folder.name} was removed" in gone.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify",), "name one record folder, or --all"),
        (("verify", "none"), "none: no such record folder"),
        (("verify", "--all", "--reports", "none"), "none/drills: no record there"),
        (("verify", "none", "--key", "none.pub"), "--key none.pub: No such file"),
        (("verify", ".", "--since", "yesterday"), "--since yesterday: not a time in ISO 8601"),
        (("sign-off", "none", "--as", "me"), "none: no such record folder"),
    ],
)
def test_an_operators_mistake_is_one_line(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_keys_are_made_once(tmp_path: Path) -> None:
    private, public = tmp_path / "secrets/record.pem", tmp_path / "record.pub"
    assert run("keys", "new", private, public).exit_code == 0
    assert private.stat().st_mode & 0o777 == 0o600
    assert read_signing_key(private.read_bytes()).public_key() == read_verify_key(public.read_bytes())
    again = run("keys", "new", private, public)
    assert isinstance(again.exception, HarnessError)
    assert "exists and is not overwritten" in str(again.exception)
