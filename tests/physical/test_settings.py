"""What ALTER SYSTEM left on the primary does nothing during a replay, and a restored copy does not keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Unreadable
from harness.core.journal import MemoryJournal
from harness.patience import PATIENCE
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import restore
from harness.physical.target import read_target
from harness.physical.unpack import AUTO, QUIET, put_back, set_aside
from tests.physical.conftest import Archive, folder_of


def test_a_command_and_targets_in_the_backup_are_not_used_by_the_replay(archive: Archive, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    names = ("work_mem", "recovery_end_command", "recovery_target_name", "recovery_target_inclusive")
    for name, value in zip(names, ("7MB", f"touch {ran}", "never", "off"), strict=True):
        archive.db.execute("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
    try:
        take_physical(archive.source, MemoryJournal())
    finally:
        archive.db.execute("postgres", *(f"ALTER SYSTEM RESET {name}" for name in names))
    wanted, key = Wanted(read_target("latest")), archive.keys.dr[0]
    done = restore(archive.repository, key, wanted, tmp_path / "data", MemoryJournal())
    assert not ran.exists()
    text = (done.folder / AUTO).read_text()
    assert "work_mem = '7MB'" in text
    assert "recovery_" not in text
    assert "archive_mode = 'off'" in text


@pytest.mark.parametrize("name", ["standby.signal", "recovery.conf"])
def test_a_file_that_was_left_on_the_primary_does_not_decide_how_the_replay_ends(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A running primary passes it over. The server of the replay waited for hours as a standby, or did not start."""
    monkeypatch.setattr(PATIENCE, "restore_database", 60.0)
    left = folder_of(archive.db) / name
    left.touch(mode=0o600)
    try:
        take_physical(archive.source, MemoryJournal())
    finally:
        left.unlink()
    wanted, key = Wanted(read_target("latest")), archive.keys.dr[0]
    done = restore(archive.repository, key, wanted, tmp_path / "data", MemoryJournal())
    assert not (done.folder / name).exists()


TRIGGERS = """
CREATE SCHEMA theirs;
CREATE FUNCTION theirs.differs(a text, b text) RETURNS boolean LANGUAGE plpgsql AS
  $$BEGIN COPY (SELECT 1) TO PROGRAM 'touch {0}/operator'; RETURN a OPERATOR(pg_catalog.<>) b; END$$;
CREATE OPERATOR theirs.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = theirs.differs);
CREATE FUNCTION theirs.login() RETURNS event_trigger LANGUAGE plpgsql AS
  $$BEGIN COPY (SELECT 1) TO PROGRAM 'touch {0}/login'; END$$;
CREATE EVENT TRIGGER theirs ON login EXECUTE FUNCTION theirs.login();
ALTER EVENT TRIGGER theirs ENABLE ALWAYS;
ALTER DATABASE template1 SET event_triggers = on;
ALTER DATABASE template1 SET search_path = theirs, pg_catalog;
ALTER DATABASE template1 SET session_preload_libraries = './theirs';
ALTER ROLE postgres SET local_preload_libraries = 'theirs';
ALTER ROLE postgres IN DATABASE template1 SET statement_timeout = 1;
"""
RESET = """
ALTER DATABASE template1 RESET ALL;
ALTER ROLE postgres RESET ALL;
ALTER ROLE postgres IN DATABASE template1 RESET ALL;
DROP EVENT TRIGGER theirs;
DROP SCHEMA theirs CASCADE;
"""


def test_settings_and_triggers_of_sessions_do_nothing_during_the_replay(archive: Archive, tmp_path: Path) -> None:
    """Those of roles and databases override a server's own; each of them could run a program of the backup's."""
    ran = tmp_path / "ran"
    ran.mkdir(mode=0o777)
    ran.chmod(0o777)
    for name in (tmp_path, *tmp_path.parents[:2]):
        name.chmod(0o755)
    archive.db.execute("template1", TRIGGERS.format(ran))
    try:
        taken = take_physical(archive.source, MemoryJournal())
    finally:
        archive.db.execute("template1", RESET)
    done = restore(
        archive.repository, archive.keys.dr[0], Wanted(read_target("latest"), taken.backup_id), tmp_path / "data",
        MemoryJournal(),
    )  # fmt: skip
    assert done.backup_id == taken.backup_id
    assert list(ran.iterdir()) == []


def test_settings_are_kept_byte_by_byte_but_for_those_of_a_recovery(tmp_path: Path) -> None:
    own = b"work_mem = '1MB'\napplication_name = 'a\rb\xff'\narchive_command = 'cp'"
    other = b"\n Restore_Command='sh x'\nPRIMARY_CONNINFO = 'host=a'\n\trecovery_target 'immediate'"
    (tmp_path / AUTO).write_bytes(own + other + b"\narchive_cleanup_command='x'")
    kept = set_aside(tmp_path)
    assert (tmp_path / AUTO).read_bytes() == QUIET
    put_back(tmp_path, kept)
    assert (tmp_path / AUTO).read_bytes() == own + QUIET


def test_a_file_that_cannot_be_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / AUTO).mkdir()
    with pytest.raises(Unreadable, match=r"postgresql\.auto\.conf: cannot be changed"):
        set_aside(tmp_path)
    with pytest.raises(Unreadable, match=r"postgresql\.auto\.conf: cannot be changed"):
        put_back(tmp_path, b"")
