"""All records of a folder: one that was removed, added or replaced is missed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.attestation.keys import key_name
from harness.attestation.statement import UNSIGNED, seal
from harness.attestation.verify import verify
from harness.attestation.verify_all import AllVerified, verify_all
from harness.core.errors import HarnessError, Unreadable
from harness.core.journal import MemoryJournal
from harness.evidence.folder import JOURNAL, RecordFolder
from harness.evidence.format.chain import CHAIN, GENESIS, add, read_chain
from harness.evidence.journal import JournalFile
from harness.evidence.record import conclude_unstarted, open_record
from harness.signing import read_signing_key, read_verify_key
from tests.attestation.conftest import PAIR, drilled
from tests.memory_drill import header
from tests.memory_estate import MemoryEstate

NIGHTS: list[Path] = []
KEY = read_signing_key(PAIR[0])


@pytest.fixture
def nights(memory_estate: MemoryEstate, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of reports: a night without room on the disk, one whose drill was killed, and a good one."""
    if not NIGHTS:
        reports = tmp_path_factory.mktemp("nights")
        not_started(reports)
        open_record(header(), RecordFolder.make(reports, "killed"), MemoryJournal())
        drilled(memory_estate, reports, read_signing_key(PAIR[0]))
        NIGHTS.append(reports)
    return Path(shutil.copytree(NIGHTS[0], tmp_path / "reports"))


def not_started(reports: Path, key: Ed25519PrivateKey | None = KEY) -> Path:
    """Return the folder of a drill that could not be started, and is UNKNOWN."""
    folder = RecordFolder.make(reports, "not started")
    journal = JournalFile(folder.path / JOURNAL)
    about = replace(header(), signing_key=key_name(key))
    conclude_unstarted(about, folder, journal, HarnessError("no room on the disk"))
    seal(folder.path, key)
    return folder.path


def all_of(reports: Path, head: str = "") -> AllVerified:
    return verify_all(reports, [read_verify_key(PAIR[1])], head)


def folders(reports: Path) -> list[Path]:
    return sorted((path for path in (reports / "drills").iterdir() if path.is_dir()), key=lambda path: path.name[:16])


def concluded(reports: Path) -> list[str]:
    return [link.record for link in read_chain(reports / "drills")[0] if link.kind == "concluded"]


def killed(reports: Path) -> str:
    (name,) = {folder.name for folder in folders(reports)} - set(concluded(reports))
    return name


def test_a_whole_folder_of_records_is_verified(nights: Path) -> None:
    found = all_of(nights)
    assert found.refusals == ()
    assert [one.refusals for _, one in found.records] == [(), ()]
    assert found.unfinished == (killed(nights),)
    assert all_of(nights, found.head).refusals == ()
    first, second = concluded(nights)
    links, _ = read_chain(nights / "drills")
    by_name = dict(found.records)
    statement = next(link.statement_sha256 for link in links if link.record == first and link.statement_sha256)
    record = by_name[second].record
    assert record is not None
    assert record.previous_statement_sha256 == statement


def drop_lines(reports: Path, name: str) -> None:
    """Remove a record from the chain, and write the chain anew."""
    folder = reports / "drills"
    kept = [link for link in read_chain(folder)[0] if link.record != name]
    (folder / CHAIN).unlink()
    for link in kept:
        add(folder, link.kind, link.record, lambda _previous, link=link: link.statement_sha256)  # type: ignore[misc]


def remove_folder(reports: Path, name: str) -> None:
    shutil.rmtree(reports / "drills" / name)


def remove_both(reports: Path, name: str) -> None:
    remove_folder(reports, name)
    drop_lines(reports, name)


REMOVED: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "folder": (remove_folder, "chain: record .* was removed"),
    "lines": (drop_lines, "chain: record .* is not in it"),
    "folder and lines": (remove_both, "chain: "),
}


@pytest.mark.parametrize(("remove", "said"), REMOVED.values(), ids=REMOVED)
@pytest.mark.parametrize("which", ["first night", "killed night"])
def test_a_bad_night_that_was_removed_is_missed(
    nights: Path, which: str, remove: Callable[[Path, str], None], said: str
) -> None:
    remove(nights, killed(nights) if which == "killed night" else concluded(nights)[0])
    refusals = all_of(nights).refusals
    assert refusals
    assert any(re.search(said, line) for line in refusals), refusals


def test_the_newest_night_that_was_removed_is_missed_by_whoever_noted_the_head(nights: Path) -> None:
    head = all_of(nights).head
    remove_folder(nights, concluded(nights)[-1])
    path = nights / "drills" / CHAIN
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert all_of(nights).refusals == ()  # nothing inside the folder can show it
    (refusal,) = all_of(nights, head).refusals
    assert "its end was removed, or it was written anew" in refusal


def test_an_old_record_in_the_place_of_a_new_one_is_refused(nights: Path) -> None:
    old, new = concluded(nights)
    shutil.rmtree(nights / "drills" / new)
    shutil.copytree(nights / "drills" / old, nights / "drills" / new)
    found = all_of(nights)
    assert f"chain: record {new} has another statement than the one that was added" in found.refusals
    assert dict(found.records)[new].refusals[0].startswith(f"replay: this is the record {old}")


def test_a_record_that_was_added_is_refused(nights: Path) -> None:
    shutil.copytree(nights / "drills" / concluded(nights)[0], nights / "drills/20990101T000000Z-another")
    assert "chain: record 20990101T000000Z-another is not in it" in all_of(nights).refusals


def test_a_chain_that_was_changed_is_refused_and_not_added_to(nights: Path) -> None:
    path = nights / "drills" / CHAIN
    text = path.read_bytes()
    path.write_bytes(text.replace(b"concluded", b"withdrawn", 1))
    (refusal,) = all_of(nights).refusals
    assert "was changed" in refusal
    with pytest.raises(Unreadable, match="was changed"):
        add(nights / "drills", "opened", "next")
    path.write_bytes(b"".join(text.splitlines(keepends=True)[1:]))
    assert "a line is missing or out of its place" in all_of(nights).refusals[0]
    path.write_bytes(text.replace(b'{"', b'{"more":1,"', 1))
    assert "is no line of a chain" in all_of(nights).refusals[0]


def test_a_killed_drill_cannot_be_withdrawn_unseen(nights: Path) -> None:
    killed = next(folder for folder in folders(nights) if "killed" in folder.name)
    add(nights / "drills", "withdrawn", killed.name)
    (killed / "record.json").unlink()
    (killed / JOURNAL).touch()
    found = all_of(nights)
    assert (found.refusals, found.unfinished, found.withdrawn) == ((), (), (killed.name,))
    shutil.rmtree(killed)
    (refusal,) = all_of(nights).refusals
    assert refusal == f"chain: record {killed.name} is said to be withdrawn, and its {JOURNAL} is not there"


def test_half_a_line_of_a_killed_process_is_written_over(nights: Path) -> None:
    path = nights / "drills" / CHAIN
    path.write_bytes(path.read_bytes() + b'{"n":9,"at":"2026')
    add(nights / "drills", "opened", "next")
    assert read_chain(nights / "drills")[0][-1].record == "next"
    assert read_chain(nights)[0] == ()
    assert json.loads(path.read_bytes().splitlines()[0])["prev"] == GENESIS


def test_a_record_without_a_key_is_unsigned_and_says_so(tmp_path: Path) -> None:
    folder = not_started(tmp_path, None)
    assert (folder / UNSIGNED).is_file()
    found = verify(folder, [])
    assert found.refusals == ()
    assert found.record is not None
    assert found.record.signing_key == key_name(None) == "unsigned: no key"
    (refusal,) = verify(folder, [read_verify_key(PAIR[1])]).refusals
    assert refusal == "signature: there is no statement.dsse.json: the record is unsigned"


def test_a_drill_that_could_not_be_started_leaves_a_signed_record(tmp_path: Path) -> None:
    found = verify(not_started(tmp_path), [read_verify_key(PAIR[1])])
    assert found.refusals == ()
    assert found.record is not None
    assert found.record.verdict == "UNKNOWN"
    assert found.record.reasons[0] == "no room on the disk"
    assert (found.record.lost, found.record.data_bytes) == (None, None)
