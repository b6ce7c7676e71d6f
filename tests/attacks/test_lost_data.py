"""V2, V6, V7: data that a recovery lost makes its drill BROKEN, and a failed recovery leaves a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness.core.errors import Finding, Refused
from harness.drill.drill import Drill
from harness.evidence.folder import read_record
from tests.memory_drill import drill, start
from tests.memory_estate import NAME, MemoryEstate, memory_estate
from tests.memory_servers import MemoryDatabase

pytestmark = pytest.mark.attacks
__all__ = ["drill", "memory_estate"]  # fixtures
Lose = Callable[[MemoryDatabase], object]


@pytest.fixture
def running(drill: Drill) -> Iterator[Drill]:
    start(drill)
    drill.back_up()
    yield drill
    drill.close()


def test_v2_a_live_database_that_no_backup_has_is_not_kept(running: Drill, memory_estate: MemoryEstate) -> None:
    """No service owns it, and it was made after the backup: the live primary had it."""
    memory_estate.servers.postgres["primary"].databases["ledger"] = MemoryDatabase("postgres", {"entries": ["1"]})
    running.strike()
    running.recover()
    record = running.conclude()
    assert record.verdict == "BROKEN", record.reasons
    assert [reason for reason in record.reasons if "database ledger" in reason]


def test_v2_a_primary_whose_server_is_dead_is_asked_in_vain(running: Drill, memory_estate: MemoryEstate) -> None:
    memory_estate.site("primary").nodes["postgres"].kill()
    with pytest.raises(Refused):
        running.strike()
    assert [line for line in running.failures.doubts if "connection refused" in line]


def test_v2_a_database_that_no_service_owns_comes_back(memory_estate: MemoryEstate, drill: Drill) -> None:
    drill.environment.start_data()
    memory_estate.servers.postgres["primary"].databases["ledger"] = MemoryDatabase("postgres", {"entries": ["1"]})
    drill.start_client_load(500.0)
    drill.back_up()
    drill.strike()
    drill.recover()
    assert drill.conclude().verdict == "KEPT"
    assert memory_estate.servers.postgres["dr"].databases["ledger"].tables == {"entries": ["1"]}
    drill.close()


LOSSES: dict[str, tuple[Lose, str]] = {
    "V6, a table": (lambda found: found.tables.pop("receipts"), "receipts"),
    "V6, a sequence": (lambda found: found.sequences.pop("public.orders_id_seq"), "orders_id_seq"),
    "V7, a sequence that was reset": (lambda found: found.sequences.update({"public.orders_id_seq": 1}), "orders_id"),
    "V7, a row": (lambda found: found.tables["files"].pop(), "files"),
    "V7, another content": (lambda found: found.tables.update(files=["a.txt", "c.txt"]), "files"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_restore_lost_is_broken_and_leaves_a_record(
    running: Drill, memory_estate: MemoryEstate, name: str
) -> None:
    change, named = LOSSES[name]
    running.strike()
    memory_estate.servers.after["pg_restore"] = lambda server: change(server.databases[NAME])
    with pytest.raises(Finding, match=named) as failed:
        running.recover()
    running.conclude_after(failed.value)
    record = read_record(running.folder.path)
    assert record.verdict == "BROKEN", record.reasons
    assert [reason for reason in record.reasons if named in reason]
    assert (running.folder.path / "record.json").is_file()
