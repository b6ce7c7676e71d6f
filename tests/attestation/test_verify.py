"""Both verifiers, on a record that a real judge made: it is verified, and six ways of changing it are refused."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.attestation.statement import SIGNED, seal, signed_files
from harness.attestation.verify import Expected, verify
from harness.core.clock import SYSTEM
from harness.signing import new_signing_pair, pae, read_signing_key, read_verify_key
from tests.attestation.conftest import PAIR, Sealed, restore_tested
from tests.memory_estate import MemoryEstate
from tests.records import journal_rewritten

ALONE = Path(__file__).resolve().parents[2] / "docs/verify_record.py"
Change = Callable[[Sealed], None]


def alone(sealed: Sealed, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the stand-alone verifier, in a Python that cannot import blackstart."""
    command = [sys.executable, "-I", str(ALONE), str(sealed.folder), "--key", str(sealed.pem), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=sealed.folder.parent)


def lines(sealed: Sealed) -> list[bytes]:
    return (sealed.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def write_lines(sealed: Sealed, changed: list[bytes]) -> None:
    (sealed.folder / "journal.jsonl").write_bytes(b"".join(changed))


def flip(name: str, at: int) -> Change:
    def change(sealed: Sealed) -> None:
        content = bytearray((sealed.folder / name).read_bytes())
        content[at] ^= 1
        (sealed.folder / name).write_bytes(content)

    return change


def drop(sealed: Sealed) -> None:
    write_lines(sealed, lines(sealed)[:9] + lines(sealed)[10:])


def cut(sealed: Sealed) -> None:
    write_lines(sealed, lines(sealed)[:-3])


def swap(sealed: Sealed) -> None:
    found = lines(sealed)
    write_lines(sealed, [*found[:9], found[10], found[9], *found[11:]])


def edit(name: str, old: bytes, new: bytes) -> Change:
    def change(sealed: Sealed) -> None:
        path = sealed.folder / name
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))

    return change


def add(sealed: Sealed) -> None:
    (sealed.folder / "inputs/more.toml").write_text("")


def remove(name: str) -> Change:
    return lambda sealed: (sealed.folder / name).unlink()


def resigned(change: Change) -> Change:
    """Change something, and sign all of it again with the right key, as whoever has it could."""

    def both(sealed: Sealed) -> None:
        change(sealed)
        seal(sealed.folder, sealed.private)

    return both


def other_key(sealed: Sealed) -> None:
    edit("record.json", b'"verdict":"KEPT"', b'"verdict":"KEPT"')(sealed)
    seal(sealed.folder, read_signing_key(new_signing_pair()[0]))


def other_key_same_name(sealed: Sealed) -> None:
    """The envelope names the pinned key, which has not signed it."""
    right = json.loads((sealed.folder / SIGNED).read_bytes())["signatures"][0]["keyid"]
    other_key(sealed)
    data = json.loads((sealed.folder / SIGNED).read_bytes())
    data["signatures"][0]["keyid"] = right
    (sealed.folder / SIGNED).write_text(json.dumps(data))


def later_held(sealed: Sealed) -> None:
    """E1: the time at which the key functions had passed is moved, and the journal's chain is written anew."""

    def move(event: dict[str, object]) -> None:
        facts = event["facts"]
        assert isinstance(facts, dict)
        if event["kind"] == "judged" and "key" in facts:
            facts["key"] -= 0.1

    journal_rewritten(sealed.folder / "journal.jsonl", move)


def shorter_rto(sealed: Sealed) -> None:
    path = sealed.folder / "record.json"
    text, count = re.subn(rb'("reasons":\[\].*"rto_seconds":)[0-9.]+(,"scenario)', rb"\g<1>0.5\2", path.read_bytes())
    assert count == 1
    path.write_bytes(text)


CHANGES: dict[str, tuple[Change, str, str]] = {
    "flipped byte of the record": (
        flip("record.json", 700), "file: record.json was changed", "file: record.json|not readable",
    ),
    "flipped byte of the ledger": (flip("ledger.jsonl", 12), "file: ledger.jsonl was changed", "file: ledger.jsonl"),
    "flipped byte of the journal": (
        edit("journal.jsonl", b'"struck"', b'"strucj"'), "journal: .* was changed", "was changed",
    ),
    "flipped byte of the statement": (flip(SIGNED, 40), "signature: ", "signature"),
    "dropped event": (drop, "journal: .*event 10 is missing", "journal: event 10 is missing"),
    "dropped events at the end": (cut, "file: journal.jsonl was changed", "file: journal.jsonl was changed"),
    "swapped events": (swap, "journal: .*events are swapped: line 10 has event 11", "swapped: line 10 has event 11"),
    "edited budget": (
        edit("record.json", b'"rto_seconds":3600', b'"rto_seconds":7200'),
        "budget: the record says rto_seconds 7200.0, the journal 3600.0",
        "file: record.json was changed",
    ),
    "edited file of budgets": (
        edit("inputs/features/budgets.toml", b"3600", b"7200"),
        "budget: features/budgets.toml is not the file",
        "file: inputs/features/budgets.toml was changed",
    ),
    "edited budget, signed again": (
        resigned(edit("record.json", b'"rto_seconds":3600', b'"rto_seconds":7200')),
        "budget: the record says rto_seconds 7200.0", "budget: record.json has others",
    ),
    "all signed with another key": (other_key, "signature: signed by .*not trusted here", "signed with another key"),
    "another key under the name of the pinned one": (
        other_key_same_name, "signature: .*does not verify",
        "signature or form: it is not as it was signed: InvalidSignature",
    ),
    "edited verdict, signed again": (
        resigned(edit("record.json", b'"verdict":"KEPT"', b'"verdict":"BROKEN"')),
        "verdict: the record says verdict BROKEN, journal and ledger give KEPT", "verdict: verdict is BROKEN",
    ),
    "edited RTO": (shorter_rto, "verdict: the record says rto_seconds 0.5", "file: record.json was changed"),
    "edited RTO, signed again": (
        resigned(shorter_rto), "verdict: the record says rto_seconds 0.5", "verdict: rto_seconds is 0.5",
    ),
    "edited journal with a new chain, signed again": (
        resigned(later_held), "verdict: judged with `held` at .* no such event",
        "verdict: .* judged at other times than noted",
    ),
    "file that was added": (
        add, "file: inputs/more.toml is not signed", "not signed",
    ),
    "file that was removed": (remove("ledger.jsonl"), "file: ledger.jsonl was signed", "file: ledger"),
    "no statement": (remove(SIGNED), "signature: there is no", "signature: the record is unsigned"),
}  # fmt: skip


def test_a_sealed_record_is_verified_by_both(sealed: Sealed) -> None:
    expected = Expected(sealed.record.drill, SYSTEM.wall() - timedelta(hours=1))
    assert verify(sealed.folder, [sealed.public], expected).refusals == ()
    assert sealed.record.verdict == "KEPT"
    done = alone(sealed, "--drill", sealed.record.drill)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"VERIFIED {sealed.folder.name}: 'drill in memory': KEPT")


@pytest.mark.attacks
@pytest.mark.damages_records
@pytest.mark.parametrize(("change", "said", "said_alone"), CHANGES.values(), ids=CHANGES)
def test_a_changed_record_is_refused_by_both_for_its_reason(
    sealed: Sealed, change: Change, said: str, said_alone: str
) -> None:
    """E1: nothing noticed an edited record or journal, and no command looked."""
    change(sealed)
    refusals = "\n".join(verify(sealed.folder, [sealed.public]).refusals)
    assert re.search(said, refusals), refusals
    done = alone(sealed)
    assert done.returncode == 1
    assert done.stderr.startswith("REFUSED  ")
    assert re.search(said_alone, done.stderr), done.stderr


def test_an_old_bundle_shown_as_new_is_refused_by_both(sealed: Sealed) -> None:
    tomorrow = SYSTEM.wall() + timedelta(days=1)
    (refusal,) = verify(sealed.folder, [sealed.public], Expected(since=tomorrow)).refusals
    assert refusal.startswith("replay: it ended at")
    assert "replay: it ended at" in alone(sealed, "--since", tomorrow.isoformat()).stderr
    (refusal,) = verify(sealed.folder, [sealed.public], Expected("another drill")).refusals
    assert refusal == "replay: this is the drill 'drill in memory', not 'another drill'"
    assert "replay: this is the record" in alone(sealed, "--drill", "another drill").stderr
    copy = sealed.folder.rename(sealed.folder.with_name("20990101T000000Z-drill-in-memory-0000"))
    moved = Sealed(copy, sealed.private, sealed.public, sealed.pem)
    (refusal,) = verify(copy, [sealed.public]).refusals
    assert refusal.startswith(f"replay: this is the record {sealed.folder.name}, in a folder named {copy.name}")
    assert "replay: this is the record" in alone(moved).stderr


@pytest.mark.parametrize("times", [1, 2])
def test_the_record_of_a_restore_test_is_verified_by_both(
    memory_estate: MemoryEstate, tmp_path: Path, times: int
) -> None:
    (tmp_path / "record.pub").write_bytes(PAIR[1])
    private, public = read_signing_key(PAIR[0]), read_verify_key(PAIR[1])
    folder = restore_tested(memory_estate, tmp_path / "reports", private, times)
    tested = Sealed(folder, private, public, tmp_path / "record.pub")
    found = verify(folder, [public])
    assert found.refusals == ()
    judged = "KEPT" if times == 1 else "BROKEN"  # the site of the second is not empty: the record is of the last
    assert (tested.record.mode, tested.record.verdict) == ("restore test", judged)
    assert tested.record.origin.event == "activation"
    assert (tested.record.lost, tested.record.rto_seconds) == (None, None)
    done = alone(tested)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.attacks
def test_an_exposure_that_was_taken_out_of_a_restore_test_is_refused(
    memory_estate: MemoryEstate, tmp_path: Path
) -> None:
    (tmp_path / "record.pub").write_bytes(PAIR[1])
    private, public = read_signing_key(PAIR[0]), read_verify_key(PAIR[1])
    folder = restore_tested(memory_estate, tmp_path / "reports", private)
    tested = Sealed(folder, private, public, tmp_path / "record.pub")
    journal_rewritten(folder / "journal.jsonl", lambda event: event["facts"].pop("exposure", None))  # type: ignore[attr-defined]
    seal(folder, private)
    assert any("exposure_seconds" in line for line in verify(folder, [public]).refusals)
    assert alone(tested).returncode == 1


def flippable(folder: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_size) for path in (folder / SIGNED, *signed_files(folder))]


@pytest.mark.attacks
@pytest.mark.damages_records
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whichever_bit_is_flipped_the_record_is_refused(sealed: Sealed, data: st.DataObject) -> None:
    path, size = data.draw(st.sampled_from(flippable(sealed.folder)))
    at, bit = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 7))
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    try:
        assert verify(sealed.folder, [sealed.public]).refusals
    finally:
        path.write_bytes(content)


def test_openssl_verifies_the_statement(sealed: Sealed) -> None:
    envelope = json.loads((sealed.folder / SIGNED).read_bytes())
    place = sealed.pem.parent
    (place / "message").write_bytes(pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    (place / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    key = ("-pubin", "-inkey", "record.pub")
    words = ("pkeyutl", "-verify", *key, "-rawin", "-in", "message", "-sigfile", "signature")
    done = subprocess.run(["openssl", *words], cwd=place, capture_output=True, text=True, check=False)  # noqa: S607
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")
    (place / "message").write_bytes(b"DSSEv1 other")
    assert subprocess.run(["openssl", *words], cwd=place, capture_output=True, check=False).returncode == 1  # noqa: S607


def test_the_statement_is_an_in_toto_test_result_about_all_that_decided_the_drill(sealed: Sealed) -> None:
    data = json.loads(base64.b64decode(json.loads((sealed.folder / SIGNED).read_bytes())["payload"]))
    assert data["_type"] == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    names = {one["name"] for one in data["subject"]}
    backup = sealed.record.backup["id"]
    assert names == {
        "record.json", "journal.jsonl", "ledger.jsonl", f"backup:{backup}/COMMIT",
        "backup:head of the chain/COMMIT",
        "inputs/features/site_loss.feature", "inputs/features/budgets.toml", "inputs/estate.toml",
    }  # fmt: skip
    assert data["predicate"]["result"] == "PASSED"
    assert data["predicate"]["passedTests"] == ["drill in memory"]


def test_the_stand_alone_verifier_is_short_and_imports_nothing_of_ours() -> None:
    text = ALONE.read_text()
    assert len(text.splitlines()) <= 150
    imported = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
