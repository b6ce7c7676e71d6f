"""The signed list of drill targets: every list that the pinned key did not sign as it is, is refused by its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, Refused, UsageError
from harness.repository.format.recipients import new_pair
from harness.restore_test.targets import (
    MOST_BYTES,
    PUBLIC,
    Target,
    read_targets,
    read_targets_key,
    sign_targets,
    signature_of,
    unexpired,
)
from harness.signing import read_signing_key, sign
from tests.restore_test.signed import OTHER, PINNED, signed

NAME = "drill-targets.toml"
ENTRY = '[[target]]\nname = "dr"\nsystem = "1"\nbucket = "b"\ntag = "t"\n'
TODAY = date(2027, 3, 31)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with one entry, signed by the pinned key, which is beside it."""
    signed(tmp_path / NAME, ENTRY)
    return tmp_path / NAME


def read(file: Path) -> tuple[Target, ...]:
    return read_targets(file, read_targets_key(file.with_name(PUBLIC)))


def change_envelope(file: Path, **more: object) -> object:
    beside = signature_of(file)
    return beside.write_text(json.dumps(json.loads(beside.read_text()) | more))


def changed_signature(file: Path) -> object:
    (one,) = json.loads(signature_of(file).read_text())["signatures"]
    other = "B" if one["sig"][0] == "A" else "A"
    return change_envelope(file, signatures=[one | {"sig": other + one["sig"][1:]}])


def of_another_kind(file: Path) -> object:
    made = sign("application/vnd.blackstart.commit+json", file.read_bytes(), (read_signing_key(PINNED[0]),))
    return signature_of(file).write_bytes(made)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def relabelled(file: Path) -> object:
    """Sign with another key under the name of the pinned one."""
    pinned = json.loads(signature_of(file).read_text())["signatures"][0]["keyid"]
    signed(file, ENTRY, by=OTHER[0])
    (one,) = json.loads(signature_of(file).read_text())["signatures"]
    return change_envelope(file, signatures=[one | {"keyid": pinned}])


def signature_of_another_list(file: Path) -> object:
    """An older list, whose signature is good, is no signature of this one."""
    signed(file, ENTRY.replace('"1"', '"2"'))
    return file.write_text(ENTRY)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no list": (lambda f: f.unlink(), "no allowlist of drill targets (No such file or directory); create it"),
    "a folder": (folder, "no allowlist of drill targets (Is a directory)"),
    "no signature": (lambda f: signature_of(f).unlink(), "unsigned allowlist of drill targets: there is no"),
    "a folder as signature": (lambda f: folder(signature_of(f)), "cannot be read (Is a directory)"),
    "no envelope": (lambda f: signature_of(f).write_bytes(b"\xff\0["), "unreadable signature of the allowlist"),
    "an envelope nested too deep": (
        lambda f: signature_of(f).write_text("[" * 100_000), "unreadable signature of the allowlist"),
    "an envelope that is too large": (
        lambda f: signature_of(f).write_bytes(b" " * (MOST_BYTES + 1)), "larger than 1048576 bytes"),
    "a signature of another kind": (of_another_kind, "is of type 'application/vnd.blackstart.commit+json'"),
    "no signatures": (lambda f: change_envelope(f, signatures=[]), "untrusted allowlist of drill targets: not signed"),
    "a changed signature": (changed_signature, "does not verify: altered after it was signed"),
    "a changed payload": (lambda f: change_envelope(f, payload="AAAA"), "does not verify: altered after"),
    "another key": (lambda f: signed(f, ENTRY, by=OTHER[0]), "which is not trusted here; trusted: "),
    "another key under the pinned one's name": (relabelled, "does not verify: altered after it was signed"),
    "a new entry": (lambda f: f.write_text(ENTRY * 2), "was changed after it was signed; check every entry"),
    "a blank line": (lambda f: f.write_text(f"{ENTRY}\n"), "was changed after it was signed"),
    "the signature of another list": (signature_of_another_list, "was changed after it was signed"),
    "a list that is too large": (lambda f: f.write_bytes(b"#" * (MOST_BYTES + 1)), "larger than 1048576 bytes"),
    "no TOML": (lambda f: signed(f, "[[target"), "unreadable allowlist of drill targets"),
    "no entry": (lambda f: signed(f, ""), "target: field required"),
    "an empty list": (lambda f: signed(f, "target = []"), "is empty; add the DR site"),
    "an entry without a tag": (lambda f: signed(f, ENTRY.replace("tag", "#")), "target.0.tag: field required"),
    "an entry without a system": (lambda f: signed(f, ENTRY.replace('"1"', '""')), "target.0.system: string should"),
    "an unknown key": (lambda f: signed(f, f'{ENTRY}any = "x"'), "target.0.any: extra inputs"),
    "a day that is none": (lambda f: signed(f, f"{ENTRY}until = 4102444800"), "target.0.until: input should be"),
}  # fmt: skip


def test_a_signed_list_is_read(listed: Path) -> None:
    assert read(listed) == (Target(name="dr", system="1", bucket="b", tag="t"),)


@pytest.mark.parametrize("name", WRONG)
def test_any_other_list_is_refused_in_one_line(listed: Path, name: str) -> None:
    damage, said = WRONG[name]
    damage(listed)
    with pytest.raises(Refused) as refused:
        read(listed)
    assert said in str(refused.value)
    assert NAME in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"nonsense", "not a public key in PEM"),
        (PINNED[0], "this is a private key; give the public key"),
        (new_pair()[1], "instead of an Ed25519 key"),
        (b" " * (MOST_BYTES + 1), "larger than 1048576 bytes"),
    ],
    ids=["missing", "nonsense", "private", "a recipient's", "too large"],
)
def test_without_a_good_key_no_list_is_read(listed: Path, text: bytes | None, said: str) -> None:
    key = listed.with_name(PUBLIC)
    key.unlink() if text is None else key.write_bytes(text)
    with pytest.raises(UsageError, match="key of the allowlist of drill targets") as refused:
        read(listed)
    assert said in str(refused.value)
    assert str(key) in str(refused.value)


def test_a_declaration_without_a_key_names_the_three_steps() -> None:
    """An unsigned list of an earlier version: what to do is said."""
    with pytest.raises(UsageError) as refused:
        read_targets_key(None)
    for step in ("blackstart keys new targets", "targets_key under [existing]", "blackstart targets sign"):
        assert step in str(refused.value)


def test_signing_makes_a_list_that_the_other_half_reads(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(f"{ENTRY}until = 2027-03-31\n")
    file.with_name(PUBLIC).write_bytes(PINNED[1])
    assert sign_targets(file, PINNED[0], TODAY) == signature_of(file)
    assert read(file)[0].until == TODAY
    file.write_text(ENTRY)
    sign_targets(file, PINNED[0], TODAY)  # again, after a change
    assert read(file)[0].until is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[target", "unreadable allowlist"),
        ("target = []", "is empty"),
        (f"{ENTRY}until = 2027-03-30\n", "entry dr has expired on 2027-03-30; extend or remove it first"),
    ],
)
def test_a_list_that_no_restore_test_would_use_is_not_signed(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UsageError) as refused:
        sign_targets(tmp_path / NAME, PINNED[0], TODAY)
    assert said in str(refused.value)
    assert not signature_of(tmp_path / NAME).exists()


def test_a_public_key_signs_nothing(listed: Path) -> None:
    before = signature_of(listed).read_bytes()
    with pytest.raises(HarnessError, match="not an unencrypted private key"):
        sign_targets(listed, PINNED[1], TODAY)
    assert signature_of(listed).read_bytes() == before


def test_entries_that_have_not_expired_are_left() -> None:
    old = Target(name="old", system="1", bucket="b", tag="t", until=date(2027, 3, 30))
    last, endless = old.model_copy(update={"until": TODAY}), old.model_copy(update={"until": None})
    assert unexpired(Path(NAME), (old, last, endless), TODAY) == (last, endless)
    with pytest.raises(Refused, match="its entry has expired: old on 2027-03-30"):
        unexpired(Path(NAME), (old,), TODAY)
