"""What a restore leaves on the DR site: no plaintext, no object twice, and the loss by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from harness.core.errors import RestoreFailed
from harness.core.judge import Evidence
from harness.core.judged import DOUBT, FINDING
from harness.core.service import AssertionResult, Place, Sql
from harness.recovery.outcome import Results
from harness.recovery.recovery import Recovery
from harness.recovery.restore import Restored
from harness.recovery.restore_databases import SPOOL
from tests.memory_drill import PROMISE
from tests.memory_estate import BUCKET, NAME, MemoryEstate, Shop
from tests.substrate.fake import MemoryVolume, Outcome


@pytest.fixture
def work(memory_estate: MemoryEstate) -> Recovery:
    memory_estate.backed_up()
    return memory_estate.recovery()


def restore(work: Recovery) -> Restored:
    return work.restore(work.select(work.activate()))


def spool(estate: MemoryEstate) -> dict[str, bytes]:
    return estate.fake.site("dr").volume(SPOOL).files


def test_no_plaintext_is_left_after_a_restore(memory_estate: MemoryEstate, work: Recovery) -> None:
    seen: list[str] = []
    memory_estate.servers.after["pg_restore"] = lambda _server: seen.extend(spool(memory_estate))
    restore(work)
    assert seen == ["databases/0001.dump", "databases/0001.dump.list"]
    assert not spool(memory_estate)


def test_no_plaintext_is_left_after_a_failed_restore(memory_estate: MemoryEstate, work: Recovery) -> None:
    memory_estate.servers.ends["pg_restore"] = Outcome(1, errors="error: bad")
    with pytest.raises(RestoreFailed, match="bad"):
        restore(work)
    assert not spool(memory_estate)


def test_a_server_that_cannot_lock_all_tables_is_not_restored_onto(
    memory_estate: MemoryEstate, work: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.recovery.restore_databases.lacking_room", lambda *_words: "no room for locks")
    with pytest.raises(RestoreFailed, match="no room for locks; nothing was changed"):
        restore(work)
    assert memory_estate.servers.postgres["dr"].databases == {}


@dataclass
class LookingShop(Shop):
    """A shop that looks at its restored data."""

    found: tuple[AssertionResult, ...] = ()
    asked: list[str] = field(default_factory=list)

    def assertions(self, place: Place) -> Sequence[AssertionResult]:
        self.asked.append(place.sql.user)
        return self.found


def test_what_a_service_finds_in_its_restored_data_is_a_line_and_a_failure_a_finding(
    memory_estate: MemoryEstate, work: Recovery
) -> None:
    whole, sealed = AssertionResult(NAME, "packages", True, "all"), AssertionResult(NAME, "letters", False, "1 of 2")
    shop = LookingShop(found=(whole, sealed))
    work.services = (shop,)
    restored = restore(work)
    assert restored.assertions == (f"database {NAME}: packages: all", f"database {NAME}: letters: FAILED: 1 of 2")
    assert restored.findings == (f"assertion failed: database {NAME}: letters: FAILED: 1 of 2",)
    assert [event.facts["reason"] for event in memory_estate.journal.events if event.kind == FINDING] == [
        f"assertion failed: database {NAME}: letters: FAILED: 1 of 2"
    ]
    facts = [event.facts for event in memory_estate.journal.events if event.kind == "assertion"]
    assert [one["passed"] for one in facts] == [True, False]
    assert restored.doubts == ()
    assert len(shop.asked) == 1
    assert shop.asked != [work.dr.place.sql.user], "a view of a backup could act as the superuser"


def test_what_nothing_shows_of_restored_data_is_a_doubt_and_no_finding(
    memory_estate: MemoryEstate, work: Recovery
) -> None:
    work.services = (LookingShop(found=(AssertionResult(NAME, "packages", None, "absent"),)),)
    restored = restore(work)
    line = f"database {NAME}: packages: UNKNOWN: absent"
    assert restored.assertions == (line,)
    assert (restored.findings, restored.doubts) == ((), (f"assertion without a result: {line}",))
    (facts,) = (event.facts for event in memory_estate.journal.events if event.kind == "assertion")
    assert facts == {"database": NAME, "detail": "absent"}, "neither passed nor failed"
    noted = [event.facts["reason"] for event in memory_estate.journal.events if event.kind == DOUBT]
    assert noted == list(restored.doubts)
    seen = Results(restored=restored).observed(Evidence(PROMISE, doubts=("earlier", *restored.doubts)), ())
    assert seen.doubts == ("earlier", *restored.doubts), "resumed work notes it again"


def refuse_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(_volume: MemoryVolume, path: str) -> None:
        raise PermissionError(f"{path}: not permitted")

    monkeypatch.setattr(MemoryVolume, "remove", remove)


def test_plaintext_that_cannot_be_removed_fails_the_restore(work: Recovery, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_removal(monkeypatch)
    with pytest.raises(
        RestoreFailed, match=r"volume spool of dr: plaintext dumps could not be removed .*not permitted"
    ):
        restore(work)


def test_the_reason_of_a_failed_restore_is_kept_when_plaintext_cannot_be_removed_either(
    memory_estate: MemoryEstate, work: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_removal(monkeypatch)
    memory_estate.servers.ends["pg_restore"] = Outcome(1, errors="error: bad")
    with pytest.raises(RestoreFailed, match="bad"):
        restore(work)
    assert [e.subject for e in memory_estate.journal.events if "not permitted" in str(e.facts.get("error"))] == [
        "spool not wiped"
    ]


@pytest.mark.parametrize("met", [True, False, None])
def test_the_answer_says_whether_the_rpo_is_met(memory_estate: MemoryEstate, met: bool | None) -> None:
    memory_estate.backed_up()
    restored = restore(memory_estate.recovery(freshness=lambda _sql: met))
    assert (restored.rpo_met, restored.rows, restored.size) == (met, 3, 8_015)
    (status,) = [e for e in memory_estate.journal.events if e.subject == "database restore"]
    assert status.facts["rpo_met"] == ("not measured" if met is None else met)


def test_an_object_that_was_replicated_is_not_overwritten(memory_estate: MemoryEstate, work: Recovery) -> None:
    replica = (b"a receipt", {"x-amz-meta-mtime": "1.5"})
    memory_estate.servers.objects["dr"].buckets[BUCKET] = {"r1": replica}
    assert restore(work).corrected == ()
    assert memory_estate.servers.objects["dr"].buckets[BUCKET] == {"r1": replica}


@pytest.mark.parametrize(
    ("replica", "said"),
    [
        ((b"encrypted", {}), "content"),
        ((b"longer than before", {}), "content: 18 bytes instead of 9"),
        ((b"a receipt", {"x-amz-meta-by": "another"}), "metadata: x-amz-meta-by"),
    ],
)
def test_a_replica_that_differs_is_put_right_and_named(
    memory_estate: MemoryEstate, work: Recovery, replica: tuple[bytes, dict[str, str]], said: str
) -> None:
    memory_estate.servers.objects["dr"].buckets[BUCKET] = {"r1": replica}
    assert restore(work).corrected == (f"bucket {BUCKET}: r1: {said}",)
    assert memory_estate.servers.objects["dr"].buckets[BUCKET]["r1"][0] == b"a receipt"
    assert [e.facts["key"] for e in memory_estate.journal.events if e.kind == "corrected"] == ["r1"]


def test_an_object_that_a_restored_row_refers_to_and_that_did_not_arrive_is_named(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()

    def refer(_sql: Sql) -> None:
        memory_estate.servers.postgres["dr"].databases[NAME].tables["receipts"].append("r2")

    assert restore(memory_estate.recovery(freshness=refer)).lost_objects == (f"bucket {BUCKET}: r2: no such object",)


def test_every_byte_that_is_read_is_counted(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()
    counted: list[int] = []
    restore(memory_estate.recovery(on_bytes=counted.append))
    assert sum(counted) > 0


def test_a_backup_that_changes_after_its_selection_is_not_restored(memory_estate: MemoryEstate, work: Recovery) -> None:
    selected = work.select(work.activate())
    (dump,) = [e.key for e in memory_estate.store.list("") if e.key.endswith("0001.dump")]
    text = bytearray(b"".join(memory_estate.store.get(dump)))
    text[-1] ^= 1
    memory_estate.store.put(dump, (bytes(text),))
    with pytest.raises(RestoreFailed, match=r"0001\.dump"):
        work.restore(selected)
    assert NAME not in memory_estate.servers.postgres["dr"].databases
    assert not spool(memory_estate)
