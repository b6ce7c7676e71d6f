"""What whoever holds the key, or the file, may try: another text of the signature, a ledger that is not judged."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import string
from typing import Any

import pytest

from harness.attestation.sign_off import sign_off, signed_off_by
from harness.attestation.statement import PAYLOAD, SIGNED, seal
from harness.attestation.verify import verify
from harness.core.errors import Unreadable
from harness.evidence.format.record_file import canonical
from harness.signing import new_signing_pair, read_signing_key, sign
from tests.attestation.conftest import Sealed
from tests.attestation.test_verify import alone
from tests.records import journal_rewritten

ALPHABET = string.ascii_letters + string.digits + "+/"


def test_the_spare_bits_of_a_signature_are_part_of_it(sealed: Sealed) -> None:
    """The last character of 64 bytes in base64 stands for two bits: sixteen texts would be the same signature."""
    statement = sealed.folder / SIGNED
    before = statement.read_bytes()
    sig = json.loads(before)["signatures"][0]["sig"]
    other = next(c for c in ALPHABET if c != sig[-3] and base64.b64decode(f"{sig[:-3]}{c}==") == base64.b64decode(sig))
    statement.write_bytes(before.replace(sig.encode(), f"{sig[:-3]}{other}==".encode()))
    try:
        assert verify(sealed.folder, [sealed.public]).refusals
        assert alone(sealed).returncode == 1
    finally:
        statement.write_bytes(before)


def test_a_ledger_that_was_written_is_judged(sealed: Sealed) -> None:
    """Without its line in the judgement the writes of a store would be left out, and the verdict be KEPT."""
    ledger = sealed.folder / "ledger.jsonl"
    rows = [{"ledger": "orders", "number": 1, "sent": 1.0}, {"ledger": "orders", "number": 1, "acked": 1.1}]
    ledger.write_bytes(ledger.read_bytes() + b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    seal(sealed.folder, sealed.private)
    assert verify(sealed.folder, [sealed.public]).refusals
    done = alone(sealed)
    assert done.returncode == 1
    assert "ledger: not judged" in done.stderr


@pytest.mark.attacks
@pytest.mark.damages_records
def test_a_digest_in_the_facts_of_the_backup_stands_for_no_file(sealed: Sealed) -> None:
    """Without a key: the digests that were signed are written into the record as facts of its backup."""
    path = sealed.folder / "record.json"
    record = json.loads(path.read_bytes())
    record["backup"]["of the record"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(canonical(record) + b"\n")
    assert any("record.json was changed" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert "file: record.json was changed" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.damages_records
@pytest.mark.parametrize(
    "wrong", [(b'"json findings": "', b'"json findings": "['), (b'"at": ', b'"a": '), (b"{", b"[")]
)
def test_an_event_of_another_form_is_refused(sealed: Sealed, wrong: tuple[bytes, bytes]) -> None:
    """The last event is in no other one's hash: who verifies without a key parses whatever it contains."""
    journal = sealed.folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert wrong[0] in lines[-1]
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(*wrong, 1))
    assert any(line.startswith("journal") for line in verify(sealed.folder, []).refusals)
    assert alone(sealed).returncode == 1


LINKED = ("record.json", "journal.jsonl", "ledger.jsonl", "statement.dsse.json", "inputs/estate.toml", "inputs")


@pytest.mark.attacks
@pytest.mark.parametrize("name", LINKED)
def test_a_link_is_no_part_of_a_record(sealed: Sealed, name: str) -> None:
    """What is behind it could be changed after the record was verified, and is not in the folder that is archived."""
    path, outside = sealed.folder / name, sealed.pem.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    (refusal,) = verify(sealed.folder, [sealed.public]).refusals
    assert refusal == f"file: {name} is a link, or no regular file"
    assert "is a link or a pipe" in alone(sealed).stderr


@pytest.mark.attacks
def test_a_pipe_in_a_record_is_not_waited_for(sealed: Sealed) -> None:
    (sealed.folder / "ledger.jsonl").unlink()
    os.mkfifo(sealed.folder / "ledger.jsonl")
    assert verify(sealed.folder, [sealed.public]).refusals == ("file: ledger.jsonl is a link, or no regular file",)
    assert "is a link or a pipe" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.parametrize("name", ["told.json", "allure-result.json"])
def test_a_file_that_was_added_beside_the_signed_ones_is_refused_by_both(sealed: Sealed, name: str) -> None:
    (sealed.folder / name).write_text('{"kept": "everybody was told"}')
    assert f"file: {name} is not signed" in verify(sealed.folder, [sealed.public]).refusals
    assert f"file: ['{name}'] is not signed" in alone(sealed).stderr


def signed_as(sealed: Sealed, content: bytes) -> None:
    """Write record.json as it is, and sign its hash, as whoever has the key could."""
    (sealed.folder / "record.json").write_bytes(content)
    envelope = json.loads((sealed.folder / SIGNED).read_bytes())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    for one in payload["subject"]:
        if one["name"] == "record.json":
            one["digest"]["sha256"] = hashlib.sha256(content).hexdigest()
    (sealed.folder / SIGNED).write_bytes(sign(PAYLOAD, canonical(payload), [sealed.private]))


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"verdict":', b'"verdict":"BROKEN","verdict":'),
        (b'"verdict":', b'"ver\\u0064ict":'),
        (b'"verdict":', b'"verdict": '),
    ],
    ids=["a key twice", "an escape", "a space"],
)
def test_a_record_in_another_form_is_refused_by_both(sealed: Sealed, old: bytes, new: bytes) -> None:
    """Another reader of JSON would take the first of two keys: BROKEN for him is KEPT for us."""
    before = (sealed.folder / "record.json").read_bytes()
    assert before.count(old) == 1
    signed_as(sealed, before.replace(old, new))
    assert any("no canonical JSON" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert "no canonical JSON" in alone(sealed).stderr


@pytest.mark.attacks
def test_key_functions_that_were_judged_earlier_than_they_passed_are_refused_by_both(sealed: Sealed) -> None:
    """E1 with the figure of the record moved as well, and everything signed again."""

    def earlier(event: dict[str, Any]) -> None:
        if event["kind"] == "judged" and "key" in event["facts"]:
            event["facts"]["key"] -= 0.001

    journal_rewritten(sealed.folder / "journal.jsonl", earlier)
    record = json.loads((sealed.folder / "record.json").read_bytes())
    record["rto_seconds"] = round(record["rto_seconds"] - 0.001, 3)
    (sealed.folder / "record.json").write_bytes(canonical(record) + b"\n")
    seal(sealed.folder, sealed.private)
    assert any("judged with `held`" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert re.search("verdict: .*judged at other times", alone(sealed).stderr)


@pytest.mark.attacks
def test_another_expected_verdict_is_refused(sealed: Sealed) -> None:
    """A broken promise would be shown as an expected refusal."""
    record = json.loads((sealed.folder / "record.json").read_bytes())
    (sealed.folder / "record.json").write_bytes(canonical({**record, "expected": "BROKEN"}) + b"\n")
    seal(sealed.folder, sealed.private)
    assert "budget: the record expects BROKEN, the journal KEPT" in verify(sealed.folder, [sealed.public]).refusals


@pytest.mark.attacks
def test_a_sign_off_whose_key_was_not_given_is_not_called_signed(sealed: Sealed) -> None:
    """Whoever may write into the folder can name any key: the signature was looked at only where the key was given."""
    path = sign_off(sealed.folder, "The Owner", "", read_signing_key(new_signing_pair()[0]))
    data = json.loads(path.read_bytes())
    data["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    path.write_text(json.dumps(data))
    line = signed_off_by(sealed.folder, [sealed.public])
    assert "not verified: give it with --key" in line
    assert "signed with key" not in line


@pytest.mark.attacks
@pytest.mark.parametrize("fields", [{"by": "A\nVERIFIED"}, {"at": "\x1b[2J"}, {"remark": "\x1b[2J"}, {"by": " "}])
def test_a_sign_off_writes_no_line_of_its_own(sealed: Sealed, fields: dict[str, str]) -> None:
    path = sign_off(sealed.folder, "The Owner", "", None)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))
    with pytest.raises(Unreadable, match="not a sign-off"):
        signed_off_by(sealed.folder)


@pytest.mark.attacks
def test_a_file_with_the_name_of_a_signed_backup_is_refused_by_both(sealed: Sealed) -> None:
    """Without a key: the statement names COMMIT of a backup, which is no file here, so that nobody compared one."""
    payload = json.loads(base64.b64decode(json.loads((sealed.folder / SIGNED).read_bytes())["payload"]))
    name = next(one["name"] for one in payload["subject"] if one["name"].startswith("backup:"))
    (sealed.folder / name).parent.mkdir(parents=True)
    (sealed.folder / name).write_text("all is well")
    assert f"file: {name} is no file of a record" in "".join(verify(sealed.folder, [sealed.public]).refusals)
    assert f"file: ['{name}'] is not signed" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.parametrize("first", [True, False])
def test_a_key_that_signed_twice_is_refused_by_both(sealed: Sealed, first: bool) -> None:
    """One reader tries the first signature of a key alone, another one all of them."""
    path = sealed.folder / SIGNED
    data = json.loads(path.read_bytes())
    (own,) = data["signatures"]
    wrong = {**own, "sig": base64.b64encode(bytes(64)).decode()}
    path.write_text(json.dumps({**data, "signatures": [wrong, own] if first else [own, wrong]}))
    assert any("a key is named twice" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert "REFUSED  signature" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.parametrize("code", ["utf-16", "utf-8-sig"])
def test_an_envelope_in_another_code_is_refused_by_both(sealed: Sealed, code: str) -> None:
    path = sealed.folder / SIGNED
    path.write_bytes(path.read_text(encoding="utf-8").encode(code))
    assert any("not a signed envelope" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert "REFUSED  signature" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"acked"', b'"acked": 1.0, "acked"'), (b": ", b":"), (b"\n", b"\r\n"), (b'{"', b'\xef\xbb\xbf{"')],
    ids=["a key twice", "without spaces", "CR", "BOM"],
)
def test_a_ledger_in_another_form_is_refused_by_both(sealed: Sealed, old: bytes, new: bytes) -> None:
    """Another reader of JSON would take the first of two times: other writes are lost for him."""
    ledger = sealed.folder / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(old, new, 1))
    seal(sealed.folder, sealed.private)
    assert any("ledger.jsonl: line" in line for line in verify(sealed.folder, [sealed.public]).refusals)
    assert "REFUSED  ledger: not as it was written" in alone(sealed).stderr


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("fact", "value"), [("missing_files", float("nan")), ("missing_files", -1), ("exposure", float("nan"))]
)
def test_what_is_compared_with_a_budget_is_a_number_for_both(sealed: Sealed, fact: str, value: float) -> None:
    """Nothing is larger than a budget when it is no number, so that the verdict was KEPT."""

    def changed(event: dict[str, Any]) -> None:
        if event["kind"] == "judged" and fact in event["facts"]:
            event["facts"][fact] = value

    journal_rewritten(sealed.folder / "journal.jsonl", changed)
    seal(sealed.folder, sealed.private)
    refused = "\n".join(verify(sealed.folder, [sealed.public]).refusals)
    assert "is not a journal line" in refused or "missing_files -1: not a number" in refused
    assert re.search("verdict: judged by no number|REFUSED .*'NaN'", alone(sealed).stderr)


SIG = base64.b64encode(bytes(64)).decode()
OTHER = {"keyid": "5c" * 16, "sig": SIG}


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("added", "good"),
    [
        ([OTHER], True),
        ([OTHER, OTHER], False),
        ([{"keyid": "5c", "sig": "!!!!"}], False),
        ([{"keyid": "5c", "sig": SIG[:-3] + "B=="}], False),
        ([{"keyid": "", "sig": SIG}], False),
        ([{"keyid": "sch\u00f6n", "sig": SIG}], False),
        ([{"keyid": 5, "sig": SIG}], False),
        ([{"keyid": "5c"}], False),
        ([{"keyid": f"{n:02x}", "sig": SIG} for n in range(15)], True),
        ([{"keyid": f"{n:02x}", "sig": SIG} for n in range(16)], False),
    ],
    ids=["another", "another twice", "no base64", "spare bits", "no name", "no ASCII", "a number", "none", "16", "17"],
)
def test_signatures_that_others_added_are_read_alike(sealed: Sealed, added: list[Any], good: bool) -> None:
    """The stand-alone verifier looked at its own alone, and verified what blackstart refuses."""
    path = sealed.folder / SIGNED
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps({**data, "signatures": [*data["signatures"], *added]}), encoding="utf-8")
    ours, done = verify(sealed.folder, [sealed.public]).refusals, alone(sealed)
    assert (not ours, done.returncode == 0) == (good, good), (ours, done.stdout, done.stderr)
    assert good or "REFUSED  signature" in done.stderr
