"""The recovery in memory: each phase, and what each failure of one means for the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from harness.core.errors import (
    Finding,
    HarnessError,
    NoValidBackup,
    Refused,
    RestoreFailed,
    TookTooLong,
    UsageError,
)
from harness.core.judge import RECOVERY_PHASES, is_finding
from harness.recovery import recovery as phases
from harness.recovery.recovery import Recovery
from tests.memory_estate import BUCKET, KEY, NAME, ROLE, MemoryEstate
from tests.repository.failing_store import FailingStore
from tests.repository.memory_store import MemoryStore
from tests.substrate.fake import Call, Outcome

Fault = Callable[[MemoryEstate, Recovery], object]


def recover(work: Recovery, before: Callable[[str], object] = lambda _phase: None) -> phases.Tested:
    """Run every phase in order; `before` is called with the name of the next one."""
    before("activate")
    activated = work.activate()
    before("select")
    selected = work.select(activated)
    before("restore")
    restored = work.restore(selected)
    before("start")
    started = work.start(restored)
    before("switch")
    switched = work.switch(started)
    before("test")
    return work.test(switched)


def raises(error: Exception) -> Callable[[Call], Outcome]:
    def program(_call: Call) -> Outcome:
        raise error

    return program


def start_program(name: str, error: Exception) -> Fault:
    return lambda estate, _work: estate.fake.site("dr").__setattr__(
        "programs", {**estate.fake.programs, name: raises(error)}
    )


def ends(program: str, code: int, errors: str) -> Fault:
    return lambda estate, _work: estate.servers.ends.update({program: Outcome(code, errors=errors)})


def on_dr(name: str, value: object) -> Fault:
    """Change what DR's database server says of itself."""
    return lambda estate, _work: setattr(estate.servers.postgres["dr"], name, value)


def lose_object(path: str) -> Fault:
    def lose(estate: MemoryEstate, _work: Recovery) -> None:
        for entry in [e for e in estate.store.list("") if e.key.endswith(path)]:
            estate.store.delete(entry.key)

    return lose


def after(program: str, change: Callable[[MemoryEstate], object]) -> Fault:
    return lambda estate, _work: estate.servers.after.update({program: lambda _server: change(estate)})


def break_volume(estate: MemoryEstate, _work: Recovery) -> None:
    """Make a file where the restore needs a folder."""
    estate.fake.site("dr").volume("shop").files["files"] = b""


def other_secret(estate: MemoryEstate, _work: Recovery) -> None:
    estate.secrets.put("dr", KEY, b"another")


def no_secret(estate: MemoryEstate, _work: Recovery) -> None:
    dr = estate.site("dr")
    dr.secrets = {name: reference for name, reference in dr.secrets.items() if name != KEY}


def deny_sessions(estate: MemoryEstate, _work: Recovery) -> None:
    estate.fake.site("dr").programs = {**estate.fake.programs, NAME: lambda _call: Outcome()}


def shop_fails(what: str, error: Exception) -> Fault:
    return lambda estate, _work: estate.shop.fails.update({what: error})


def edge_fails(error: Exception) -> Fault:
    return lambda estate, _work: setattr(estate.edge, "fails", error)


def key_fails(error: Exception) -> Fault:
    return lambda estate, _work: setattr(estate.shop, "key_error", error)


def add_row(estate: MemoryEstate) -> None:
    estate.servers.postgres["dr"].databases[NAME].tables["writes"].append("phantom")


def away(estate: MemoryEstate, work: Recovery) -> None:
    work.repository = replace(work.repository, store=FailingStore(at=0, dead=True))


API_AWAY = TookTooLong("cluster dr: its API server does not answer within 60 s")


def refuse_roles(estate: MemoryEstate, _work: Recovery) -> None:
    estate.servers.postgres["dr"].refused["CREATE ROLE"] = "denied"


@dataclass(frozen=True)
class Case:
    """A failure: before which step it is caused, which phase it ends, and how."""

    before: str
    fault: Fault
    phase: str
    error: type[BaseException]
    said: str


CASES = {
    "API server away": Case("activate", start_program("postgres", API_AWAY), "activate", TookTooLong, "API server"),
    "store does not start": Case(
        "activate", start_program("server", HarnessError("no image")), "activate", HarnessError, "no image"
    ),
    "disk full": Case("activate", start_program("postgres", OSError("no space")), "activate", OSError, "no space"),
    "no backup": Case("select", lose_object(".json"), "select", NoValidBackup, "none is committed"),
    "damaged backup": Case("select", lose_object("server.json"), "select", NoValidBackup, "server.json"),
    "repository away": Case("select", away, "select", HarnessError, "failing store"),
    "primary as target": Case("restore", on_dr("identifier", "primary-0"), "fetch", RestoreFailed, "nothing was"),
    "other PostgreSQL": Case("restore", on_dr("version", "17.4"), "fetch", RestoreFailed, "PostgreSQL 18 or newer"),
    "target not empty": Case(
        "restore", on_dr("databases", {"billing": None}), "fetch", RestoreFailed, "already contains billing"
    ),
    "server dies": Case(
        "restore", lambda e, _w: e.site("dr").nodes["postgres"].kill(), "fetch", RestoreFailed, "is it running"
    ),
    "roles vanish": Case("restore", lose_object("server.json"), "fetch", RestoreFailed, "server.json: does not exist"),
    "dump vanishes": Case("restore", lose_object("0001.dump"), "open", RestoreFailed, "0001.dump: does not exist"),
    "files vanish": Case("restore", lose_object("0001.tar"), "open", RestoreFailed, "tar: does not exist"),
    "undeclared files": Case(
        "restore", lambda _e, w: setattr(w, "services", ()), "open", RestoreFailed, "no service restores"
    ),
    "volume unusable": Case("restore", break_volume, "open", UsageError, "leads through a link or a file"),
    "bucket refused": Case(
        "restore", lambda e, _w: e.servers.objects["dr"].refused.update(put_object="full"), "open", RestoreFailed,
        f"bucket {BUCKET} at fake:.*: full",
    ),
    "roles": Case("restore", refuse_roles, "restore", RestoreFailed, "roles at .*denied"),
    "pg_restore": Case("restore", ends("pg_restore", 1, "error: bad"), "restore", RestoreFailed, "shop at .*bad"),
    "other rows": Case(
        "restore", after("pg_restore", add_row), "db", RestoreFailed, "shop: table public.writes: 1 rows, expected 0"
    ),
    "freshness": Case(
        "restore", lambda _e, w: setattr(w, "freshness", lambda _sql: 1 / 0), "db", ZeroDivisionError, "division"
    ),
    "secret missing": Case("start", no_secret, "app", Finding, f"secret {KEY} is not on the DR site"),
    "other secret": Case("start", other_secret, "app", Finding, f"secret {KEY} on the DR site has fingerprint"),
    "not contained": Case("start", shop_fails("contain", HarnessError("no queue")), "app", HarnessError, "no queue"),
    "service ends": Case("start", start_program(NAME, HarnessError("code 1")), "app", HarnessError, "code 1"),
    "not connected": Case(
        "start", deny_sessions, "key", Finding, "shop is not connected to database shop .* as shop_role, and did not"
    ),
    "on the primary": Case("start", on_dr("identifier", "primary-0"), "app", Finding, "primary-0 of the primary"),
    "switch refused": Case("switch", edge_fails(TookTooLong("nginx")), "switch", TookTooLong, "nginx"),
    "key function": Case("test", key_fails(Finding("no order")), "key", Finding, "shop: the shop answers: no order"),
    "key function silent": Case("test", key_fails(OSError("reset")), "key", Finding, "the shop answers: reset"),
    "no key function": Case(
        "test", lambda _e, w: setattr(w, "services", ()), "key", UsageError, "no key function is declared"
    ),
}  # fmt: skip
STARTED = {"app", "switch", "key"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_failure_stops_the_recovery_in_its_phase(memory_estate: MemoryEstate, case: Case) -> None:
    memory_estate.backed_up()
    work = memory_estate.recovery()

    def before(step: str) -> None:
        if step == case.before:
            case.fault(memory_estate, work)

    with pytest.raises(case.error, match=case.said) as failed:
        recover(work, before)
    assert work.stopped == case.phase
    assert case.phase in RECOVERY_PHASES
    doubtful = issubclass(case.error, UsageError | ArithmeticError)
    assert is_finding(failed.value, work.stopped) is not doubtful
    ended = [event for event in memory_estate.journal.events if event.kind == "failed"]
    assert [event.subject for event in ended] == [case.phase]
    stopped = case.phase in ("select", "fetch", "open", "restore", "db")
    assert ("2.5.2" in memory_estate.messages()) is stopped
    if case.phase not in STARTED:
        assert NAME not in memory_estate.site("dr").nodes
    if case.phase != "key":
        assert memory_estate.edge.leads_to == "primary"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a defect")], ids=["interrupted", "defect"])
def test_what_is_no_failure_of_the_estate_is_a_doubt_in_every_phase(
    memory_estate: MemoryEstate, error: BaseException
) -> None:
    memory_estate.backed_up()
    work = memory_estate.recovery(on_bytes=lambda _count: raise_(error))
    with pytest.raises(type(error)):
        recover(work)
    assert work.stopped == "select"
    assert not is_finding(error, work.stopped)


def raise_(error: BaseException) -> None:
    raise error


def test_a_recovery_that_failed_does_not_go_on(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()
    work = memory_estate.recovery()
    activated = work.activate()
    selected = work.select(activated)
    memory_estate.servers.ends["pg_restore"] = Outcome(1, errors="error: bad")
    with pytest.raises(RestoreFailed):
        work.restore(selected)
    del memory_estate.servers.ends["pg_restore"]
    for again in (work.activate, lambda: work.select(activated), lambda: work.restore(selected)):
        with pytest.raises(Refused, match="refused: the recovery stopped in phase restore"):
            again()
    assert work.stopped == "restore"


def test_a_whole_recovery_shows_every_message_in_order(memory_estate: MemoryEstate) -> None:
    receipt = memory_estate.backed_up()
    done = recover(memory_estate.recovery())
    seen = [m for m in dict.fromkeys(memory_estate.messages()) if m.startswith("2")]
    assert seen == ["2.2", "2.3", "2.4", "2.4.1", "2.4.2", "2.6", "2.7", "2.8.1"]
    assert (done.switched.front, done.switched.address) == ("dr", "127.0.0.3")
    assert len(done.results) == 3
    assert done.switched.started.restored.backup_id == receipt.backup_id
    recovered = memory_estate.servers.postgres["dr"]
    assert recovered.databases[NAME].tables["files"] == ["a.txt", "b.txt"]
    assert recovered.roles == {"postgres", ROLE}
    assert memory_estate.fake.site("dr").volume("shop").files == {"files/a.txt": b"one", "files/b.txt": b"two"}
    assert memory_estate.servers.objects["dr"].buckets[BUCKET]["r1"][0] == b"a receipt"


def test_services_are_contained_before_one_starts(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()
    recover(memory_estate.recovery())
    events = [event.kind for event in memory_estate.journal.events]
    assert events.index("contained") < events.index("starting")


def test_a_damaged_backup_is_passed_over_for_the_one_before(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    older, newer = (memory_estate.orchestrator.back_up() for _ in range(2))
    memory_estate.store.delete(f"example-shop/data/{newer.backup_id}/server.json")
    work = memory_estate.recovery()
    selected = work.select(work.activate())
    assert selected.backup.backup_id == older.backup_id
    ((passed_over, reason),) = selected.passed_over
    assert (passed_over, "server.json" in reason) == (newer.backup_id, True)
    assert [e.subject for e in memory_estate.journal.events if e.kind == "passed over"] == [newer.backup_id]
    assert selected.facts["id"] == older.backup_id


def test_a_store_that_is_away_is_not_mistaken_for_an_empty_one(memory_estate: MemoryEstate) -> None:
    memory_estate.backed_up()
    memory_estate.store = FailingStore(at=0, dead=True, inner=MemoryStore())
    work = memory_estate.recovery()
    activated = work.activate()
    with pytest.raises(HarnessError, match="failing store") as failed:
        work.select(activated)
    assert not isinstance(failed.value, NoValidBackup)


def test_a_site_without_the_private_key_is_refused(memory_estate: MemoryEstate) -> None:
    dr = memory_estate.site("dr")
    dr.secrets = {}
    with pytest.raises(UsageError, match=r"site dr: no secret recipient\.pem; add it; it opens the backups"):
        memory_estate.recovery()
