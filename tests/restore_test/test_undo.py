"""Undo of a killed restore test on real servers: what the test made goes, what came later is refused and stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.errors import Refused
from harness.restore_test.undo import clear_interrupted
from harness.substrate.embedded.undo_journal import Undo, UndoJournal
from tests.restore_test.killed import NEW, OLD, Killed, database, file, killed, new_bucket, same_backup

pytestmark = pytest.mark.programs
__all__ = ["killed"]
Make = Callable[[Killed], None]
THINGS: dict[str, tuple[Make, str]] = {
    "database": (database, "database shop at "),
    "file": (file, r"file a/order.pdf in volume files \(changed at "),
    "bucket": (new_bucket, f"object photo in bucket {NEW} "),
    "object": (same_backup, f"object photo in bucket {OLD} "),
}


def test_what_the_test_made_is_removed_and_what_was_there_stays(killed: Killed) -> None:
    killed.restored()
    for make, _ in THINGS.values():
        make(killed)
    done = clear_interrupted(killed.run)
    assert killed.now == killed.before
    assert "databases: shop; roles: shop_role" in done[0]
    assert clear_interrupted(killed.run) == ()


@pytest.mark.parametrize(("make", "said"), THINGS.values(), ids=THINGS)
def test_what_came_after_the_test_is_refused_and_stays(killed: Killed, make: Make, said: str) -> None:
    killed.restored()
    make(killed)
    killed.ago(hours=1)
    found = killed.now
    for _ in range(2):  # the refusal itself must not count as a later change
        with pytest.raises(Refused, match=f"not made by the interrupted test, .*{said}.*nothing was removed"):
            clear_interrupted(killed.run)
        assert killed.now == found
    assert found != killed.before


def test_what_came_before_the_test_by_a_clock_that_was_set_back_is_refused(killed: Killed) -> None:
    killed.restored()
    database(killed)
    killed.ago(hours=-1)
    with pytest.raises(Refused, match="database shop at "):
        clear_interrupted(killed.run)


def test_a_database_that_is_not_of_the_backup_is_refused(killed: Killed) -> None:
    killed.restored(databases=["other"])
    database(killed)
    with pytest.raises(Refused, match="database shop at "):
        clear_interrupted(killed.run)


def test_another_system_is_refused(killed: Killed) -> None:
    killed.restored(system="4711")
    file(killed)
    with pytest.raises(Refused, match="the interrupted test was on 4711; nothing was removed there"):
        clear_interrupted(killed.run)
    assert (killed.files / "a/order.pdf").exists()


def test_objects_of_others_in_a_bucket_of_before_stay(killed: Killed) -> None:
    killed.restored()
    killed.ago(hours=1)
    killed.put(OLD, "later")
    killed.put(OLD, "another", "of another backup")
    done = clear_interrupted(killed.run)
    assert sorted(killed.now.objects[OLD] or ()) == ["another", "later", "replicated"]
    assert f"bucket {OLD}: 0 objects (2 others that came meanwhile were left there)" in " ".join(done)


def test_a_role_that_the_backup_does_not_have_stays_and_is_named(killed: Killed) -> None:
    killed.restored()
    database(killed)
    killed.sql("CREATE ROLE monitoring", "CREATE ROLE blackstart_restore_0123456789ab")  # of a restore that was killed
    done = clear_interrupted(killed.run)
    assert (
        "roles: blackstart_restore_0123456789ab, shop_role; kept, because the backup has no such role: monitoring"
        in done[0]
    )
    assert killed.now.server.roles - killed.before.server.roles == {"monitoring"}
    assert clear_interrupted(killed.run) == ()


def test_without_a_restore_a_server_with_a_database_is_refused(killed: Killed) -> None:
    UndoJournal(killed.run).note(Undo.SCALE, site="dr", node="postgres")
    database(killed)
    with pytest.raises(Refused, match="is in use: it has the database shop"):
        clear_interrupted(killed.run)


def test_a_restore_that_lasts_is_removed_also_after_a_power_cut(killed: Killed) -> None:
    killed.restored()
    killed.ago(hours=1)
    UndoJournal(killed.run, _boot="another").intend("dr", "work-1", "pg_restore")  # its last line, of another boot
    database(killed)
    clear_interrupted(killed.run)
    assert killed.now == killed.before
