"""Status of the backups: what would be lost now, by a real server and its WAL; each danger is an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.backup.status import ServerState, Status, due_after, interval_of, server_state, status_of, write_gauges
from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal
from harness.core.wal import read_lsn
from harness.physical.backup import take_physical
from tests.physical.conftest import Archive, archive, lsn, recipients, server

__all__ = ["archive", "recipients", "server"]
DAILY, WEEKDAYS, QUARTERS = "0 15 2 * * *", "0 15 2 * * mon-fri", "0 */15 * * * *"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOUND = ServerState("7391", NOW, 0, 1, False, None, None, None, True, True, "reserved", 1 << 20, 64 << 20)


@pytest.fixture
def limited(archive: Archive) -> Iterator[Archive]:
    archive.db.execute("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'", "SELECT pg_reload_conf()")
    yield archive
    archive.db.execute("postgres", "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


def alarms(archive: Archive, state: ServerState | str) -> str:
    return "\n".join(status_of(archive.repository, lambda: state, DAILY, 1.0).alarms)


def test_nothing_is_lost_while_the_archive_follows_and_it_says_so_when_it_does_not(limited: Archive) -> None:
    source = limited.source
    with limited.receiving(limited.receiver(slot=source.slot)):
        take_physical(source, MemoryJournal())
        limited.db.execute("postgres", "CREATE TABLE watched (i int)")

        def followed() -> None:
            now = status_of(limited.repository, lambda: server_state(source.sql, source.slot), DAILY, 1.0)
            if (now.rpo_seconds, now.lost_bytes, now.alarms) != (0.0, 0, ()):
                raise NotYet(str(now))

        wait_until(followed, patience=30)
    limited.db.execute("postgres", "INSERT INTO watched SELECT generate_series(1, 10000)")
    now = status_of(limited.repository, lambda: server_state(source.sql, source.slot), DAILY, 1.0)
    assert now.rpo_seconds is not None
    assert now.rpo_seconds > 0
    assert now.lost_bytes is not None
    assert now.lost_bytes > 500_000
    assert now.alarms == (
        "nobody receives from the replication slot, and the server keeps its WAL; start `blackstart wal receive`",
    )
    assert now.retained_limit_bytes == 1 << 30
    limited.db.execute("postgres", "DROP TABLE watched")


def test_without_a_backup_there_is_an_alarm_and_no_number(archive: Archive) -> None:
    now = status_of(archive.repository, lambda: server_state(archive.db.sql, "none"), DAILY, 1.0)
    assert (now.rpo_seconds, now.lost_bytes, now.backup_age_seconds) == (None, None, None)
    assert now.alarms == ("no trusted backup is in the repository; take one with `blackstart backup`",)


def test_each_danger_is_an_alarm(archive: Archive) -> None:
    take_physical(archive.source, MemoryJournal())
    state = server_state(archive.db.sql, "none")
    sound = replace(SOUND, system=state.system, now=state.now, flushed=lsn(archive.db), timeline=1)
    assert alarms(archive, sound) == ""
    failing = replace(sound, archives=True, failed_at=NOW, failed="000000010000000000000003")
    assert "archive_command failed last at 2026-03-01 12:00:00 UTC" in alarms(archive, failing)
    assert alarms(archive, replace(failing, archived_at=NOW + timedelta(seconds=1))) == ""
    assert "nobody receives" in alarms(archive, replace(sound, active=False))
    assert "the replication slot is lost" in alarms(archive, replace(sound, kept="lost"))
    assert "max_slot_wal_keep_size is not set" in alarms(archive, replace(sound, limit=None))
    assert "keeps 60 MiB of at most 64 MiB" in alarms(archive, replace(sound, retained=60 << 20))
    assert "does not say its state: refused" in alarms(archive, "refused")


def test_a_backup_that_did_not_come_is_an_alarm_with_the_time_at_which_it_was_due(archive: Archive) -> None:
    take_physical(archive.source, MemoryJournal())
    newest = archive.repository.catalogue().entries[0].snapshot_at
    assert newest is not None
    state = server_state(archive.db.sql, "none")
    sound = replace(SOUND, system=state.system, flushed=lsn(archive.db), timeline=1)
    for schedule in (WEEKDAYS, DAILY, QUARTERS):
        due = due_after(schedule, newest)

        def at(now: datetime, schedule: str = schedule) -> tuple[str, ...]:
            return status_of(archive.repository, lambda: replace(sound, now=now), schedule, 1.0).alarms

        assert at(due.alarm) == ()
        (line,) = at(due.alarm + timedelta(seconds=1))
        assert line.endswith(f" s old, one was due on {due.at:%Y-%m-%d %H:%M:%S} UTC; look at its schedule")


def test_a_stopped_archive_is_late_and_a_lost_slot_is_named(archive: Archive) -> None:
    with archive.receiving(archive.receiver(slot=archive.source.slot)):
        take_physical(archive.source, MemoryJournal())
    state = server_state(archive.db.sql, "none")
    state = replace(SOUND, system=state.system, now=state.now + timedelta(seconds=90), flushed=read_lsn("F/0"))
    assert "s behind, 1 s are declared" in alarms(archive, state)
    assert "slot of the archive is gone" in alarms(archive, replace(state, slot=False))
    assert "set archive_timeout to 1 s" in alarms(archive, replace(state, slot=False, archives=True))


def test_backups_of_the_server_before_do_not_count_for_one_that_was_made_anew(archive: Archive) -> None:
    take_physical(archive.source, MemoryJournal())
    anew = replace(SOUND, now=server_state(archive.db.sql, "none").now, flushed=0)
    now = status_of(archive.repository, lambda: anew, DAILY, 1.0)
    assert (now.rpo_seconds, now.lost_bytes, now.backup_age_seconds) == (None, None, None)
    assert any("no trusted backup of database system 7391 is in the repository" in line for line in now.alarms)


def test_the_interval_is_that_of_the_schedule() -> None:
    assert interval_of(DAILY, NOW) == timedelta(days=1)
    assert interval_of("0 */10 * * * *", NOW) == timedelta(minutes=10)


def test_a_weekend_without_a_run_makes_no_backup_late() -> None:
    weekdays, friday = WEEKDAYS, datetime(2026, 3, 6, 2, 15, 30, tzinfo=UTC)
    for day in range(3):
        assert interval_of(weekdays, friday + timedelta(days=day), friday) == timedelta(days=3, seconds=-30)
    monday = friday + timedelta(days=3)
    assert interval_of(weekdays, monday + timedelta(hours=1), monday) == timedelta(days=1)
    assert interval_of(DAILY, friday + timedelta(days=90), friday) == timedelta(days=1)
    leap = datetime(2028, 2, 28, tzinfo=UTC)
    assert interval_of("0 0 0 29 2 *", leap, leap) == timedelta(days=4 * 365 + 1)


def day(text: str) -> datetime:
    """Return a time of March 2026, which begins on a Sunday: `fri 6 02:15:30`."""
    return datetime.strptime(f"2026 March {text.split(maxsplit=1)[1]} +0000", "%Y %B %d %H:%M:%S %z")


@pytest.mark.parametrize(
    ("schedule", "newest", "due", "alarm"),
    [
        (WEEKDAYS, "fri 6 02:15:30", "mon 9 02:15:00", "mon 9 14:15:00"),  # it was Tuesday
        (WEEKDAYS, "mon 9 02:15:30", "tue 10 02:15:00", "tue 10 14:15:00"),
        (WEEKDAYS, "thu 5 02:15:30", "fri 6 02:15:00", "fri 6 14:15:00"),  # and not half a weekend later
        (WEEKDAYS, "fri 6 02:14:50", "mon 9 02:15:00", "mon 9 14:15:00"),  # the server's clock is behind
        (WEEKDAYS, "sat 7 12:00:00", "mon 9 02:15:00", "mon 9 14:15:00"),  # by hand
        (DAILY, "mon 2 02:15:01", "tue 3 02:15:00", "tue 3 14:15:00"),
        (DAILY, "mon 2 02:14:50", "tue 3 02:15:00", "tue 3 14:15:00"),
        (DAILY, "mon 2 23:50:00", "tue 3 02:15:00", "tue 3 14:15:00"),  # by hand: the run of the night is another
        (DAILY, "mon 2 15:00:00", "tue 3 02:15:00", "tue 3 14:15:00"),
        (QUARTERS, "mon 2 10:00:01", "mon 2 10:15:00", "mon 2 10:22:30"),
        (QUARTERS, "mon 2 09:59:50", "mon 2 10:15:00", "mon 2 10:22:30"),
        ("0 0 8-18 * * mon-fri", "fri 6 17:00:10", "fri 6 18:00:00", "fri 6 18:30:00"),
        ("0 0 8-18 * * mon-fri", "fri 6 18:00:10", "mon 9 08:00:00", "mon 9 08:30:00"),
        ("0 0 3 * * sun", "sun 1 03:00:10", "sun 8 03:00:00", "wed 11 15:00:00"),
        ("0 0 3 * * sun", "sat 7 12:00:00", "sun 8 03:00:00", "wed 11 15:00:00"),
        ("0 0 0 30 feb *", "sun 1 03:00:00", "mon 2 03:00:00", "mon 2 15:00:00"),  # it never fires
    ],
)  # fmt: skip
def test_the_alarm_comes_half_an_interval_after_the_run_that_failed(
    schedule: str, newest: str, due: str, alarm: str
) -> None:
    """It came after half of the days that the newest backup was to last: of a weekend a day and a half late."""
    found = due_after(schedule, day(newest))
    assert (found.at, found.alarm.replace(microsecond=0)) == (day(due), day(alarm))


def test_gauges_are_written_whole(archive: Archive, tmp_path: Path) -> None:
    take_physical(archive.source, MemoryJournal())
    system = server_state(archive.db.sql, "none").system
    state = replace(SOUND, system=system, flushed=lsn(archive.db))
    now = status_of(archive.repository, lambda: state, DAILY, 1.0)
    path = tmp_path / "blackstart.prom"
    write_gauges(path, "shop", now)
    text = path.read_text()
    assert 'blackstart_rpo_now_seconds{estate="shop"} ' in text
    assert 'blackstart_slot_limit_bytes{estate="shop"} 67108864' in text
    assert text.endswith("\n")
    write_gauges(path, "shop", replace(now, rpo_seconds=None))
    assert "rpo_now" not in path.read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["blackstart.prom"]


@pytest.mark.parametrize("name", ["absent/blackstart.prom", "folder"])
def test_gauges_that_cannot_be_written_are_named_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    """The message named a file of a random name, which stayed."""
    (tmp_path / "folder").mkdir()
    now = Status(0.0, 0, 1.0, 86400.0, None, None, ())
    with pytest.raises(HarnessError, match=f"textfile .*/{name}: cannot be written .*; name a file in a folder"):
        write_gauges(tmp_path / name, "shop", now)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
