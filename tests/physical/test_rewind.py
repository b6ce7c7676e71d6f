"""An old primary that went on after the promotion is rewound, and follows the server that was promoted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Refused, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.core.wal import SEGMENT, show_lsn
from harness.patience import PATIENCE
from harness.physical.backup import take_physical
from harness.physical.choice import END
from harness.physical.programs import Programs, programs_of
from harness.physical.restore import restore
from harness.physical.standby.old_primary import Plan, plan_rewind
from harness.physical.standby.rewind import rewind
from harness.postgres import server as postgres
from harness.repository.format.recipients import new_pair
from harness.substrate.embedded.node import ProcessNode
from harness.substrate.embedded.substrate import Embedded
from tests.physical.conftest import Archive, folder_of
from tests.physical.test_put_back import receiving, shipped, write
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer, start_database

PASSWORD = "superuser of old"


@dataclass(frozen=True, slots=True)
class Parted:
    """An old primary that is stopped, and the server that was promoted without its rows 100 and more.

    Copies of its data folder: `before`, shut down before the promotion; `behind`, crashed before it with WAL after its
    checkpoint; `crashed`, `stopped` after it, with its rows.
    """

    old: Archive
    promoted: DatabaseServer
    before: Path
    behind: Path
    crashed: Path
    stopped: Path

    def use(self, copy: Path) -> Path:
        """Have the old primary have these data; return its data folder."""
        self.old.db.node.kill()
        for path in (folder_of(self.old.db), folder_of(self.old.db).with_name("data-settings")):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(copy, folder_of(self.old.db), symlinks=True)
        return folder_of(self.old.db)

    def plan(self, folder: Path | None = None) -> Plan:
        old = self.old
        return plan_rewind(folder or folder_of(old.db), self.promoted.sql, lambda: (old.repository, old.keys.dr[0]))


def rows(server: DatabaseServer) -> list[int]:
    with postgres.connect(server.sql, "postgres") as session:
        return [int(i) for (i,) in session.execute("SELECT i FROM kept ORDER BY i").fetchall()]


@pytest.fixture(scope="module")
def parted(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory, recipients: Recipients) -> Parted:
    home = tmp_path_factory.mktemp("parted")
    db = start_database(substrate.site("old"), home)
    old = Archive(db, recipients.repository(MemoryStore()), recipients)
    db.execute("postgres", "CREATE TABLE kept (i int)", "INSERT INTO kept VALUES (1)")
    with receiving(old):
        take_physical(old.source, MemoryJournal())
        shipped(old)
    before = copy_of(old, home / "before", crash=False)
    with receiving(old):
        write(old, 2)
        db.execute("postgres", "CHECKPOINT", "SELECT pg_switch_wal()", "CREATE TABLE filled AS SELECT 1 AS i")
        db.execute("postgres", "SELECT pg_switch_wal()", "INSERT INTO filled VALUES (2)")
        shipped(old)
    behind = copy_of(old, home / "behind", crash=True)
    with receiving(old):
        shipped(old)
        site = substrate.site("promoted")
        data = site.volume("postgres").root / "data"  # type: ignore[attr-defined]
        restore(old.repository, old.keys.dr[0], END, data, MemoryJournal())
        write(old, 100, 101)
        shipped(old)
    db.execute("postgres", "INSERT INTO kept VALUES (102)", "ALTER SYSTEM SET work_mem = '7MB'")
    crashed, stopped = copy_of(old, home / "crashed", crash=True), copy_of(old, home / "stopped", crash=False)
    stop(db)
    secrets = {postgres.SUPERUSER_PASSWORD: db.sql.password_ref}
    node = site.launch(postgres.server_spec(site, secrets=secrets))
    promoted = DatabaseServer(site, node, postgres.sql_of(node, db.sql.password_ref))
    promoted.execute("postgres", "INSERT INTO kept VALUES (3)")
    assert rows(promoted) == [1, 2, 3]
    return Parted(old, promoted, before, behind, crashed, stopped)


def copy_of(old: Archive, into: Path, *, crash: bool) -> Path:
    """Return a copy of the data folder of a server, which is ended for it and started again."""
    if crash:
        old.db.node.kill()
    else:
        stop(old.db)
    shutil.copytree(folder_of(old.db), into, symlinks=True)
    old.db.node.start()
    return into


def stop(server: DatabaseServer) -> None:
    assert isinstance(server.node, ProcessNode)
    server.node.stop(PATIENCE.node_stop)


@pytest.fixture
def passfile(tmp_path: Path) -> Path:
    path = tmp_path / "pgpass"
    path.touch(mode=0o600)
    path.write_text(f"*:*:*:*:{PASSWORD}\n")
    return path


def await_rows(parted: Parted, expected: Sequence[int]) -> None:
    def there() -> None:
        if (found := rows(parted.old.db)) != expected:
            raise NotYet(f"{found}")

    wait_until(there, patience=30)


def only_in_repository(folder: Path) -> None:
    """Remove all WAL but that from the last checkpoint on, as a server does in the course of time."""
    segments = sorted(path for path in (folder / "pg_wal").iterdir() if SEGMENT.fullmatch(path.name))
    control = programs_of(18).run("pg_controldata", str(folder))
    last = next(line.split()[-1] for line in control.splitlines() if "REDO WAL file" in line)
    for path in segments:
        if path.name < last:
            path.unlink()


@pytest.mark.parametrize("how", ["crashed", "stopped"])
def test_it_follows_with_the_rows_of_the_promoted_server_and_without_its_own(
    parted: Parted, passfile: Path, how: str
) -> None:
    folder, journal = parted.use(getattr(parted, how)), MemoryJournal()
    control = (folder / "global/pg_control").read_bytes()
    plan = parted.plan()
    assert plan.own is not None
    assert (plan.own.commits, plan.own.fork.timeline) == (3, 1)
    own = f"WAL from {show_lsn(plan.own.fork.at)} to 0/.* of timeline 1, in which 3 transactions committed, from 20"
    for wrong in (None, plan.own.fork.at + 8):
        with pytest.raises(Refused, match=f"has what the promoted server lacks: {own}"):
            rewind(plan, wrong, passfile, journal)
    assert (folder / "global/pg_control").read_bytes() == control
    rewind(plan, plan.own.fork.at, passfile, journal)
    auto = (folder / "postgresql.auto.conf").read_text()
    assert ("work_mem = '7MB'" in auto, PASSWORD in auto + str(journal.events)) == (True, False)
    parted.old.db.node.start()
    expected = rows(parted.promoted)
    await_rows(parted, expected)
    parted.promoted.execute("postgres", "INSERT INTO kept SELECT max(i) + 1 FROM kept")
    await_rows(parted, [*expected, expected[-1] + 1])
    assert parted.old.db.one("postgres", "SELECT pg_is_in_recovery()") is True
    with pytest.raises(Refused, match=f"{folder}: a server runs on it"):
        parted.plan()
    stop(parted.old.db)
    assert parted.plan().followed
    parted.old.db.node.start()
    assert parted.old.db.one("postgres", "SELECT pg_promote()") is True
    parted.old.db.execute("postgres", "INSERT INTO kept VALUES (1000)")
    assert not list(folder.parent.glob("*settings*"))


def test_with_wal_that_only_the_repository_has(parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_in_repository(parted.use(parted.stopped))
    plan = parted.plan()
    assert plan.own is not None
    assert plan.own.commits == 3
    plan.shelf.served.clear()
    ran, end = list[tuple[str, ...]](), Programs.end

    def noted(programs: Programs, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        ran.append(words)
        return end(programs, *words, **more)

    monkeypatch.setattr(Programs, "end", noted)
    rewind(plan, plan.own.fork.at, passfile, MemoryJournal())
    assert plan.shelf.served
    assert not plan.shelf.failed
    assert ("pg_rewind" in str(ran), PASSWORD in str(ran)) == (True, False)
    parted.old.db.node.start()
    await_rows(parted, rows(parted.promoted))


def test_a_rewind_that_was_killed_before_it_had_its_settings_back_is_ended(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the timeline of the promoted server, and would be a second primary there."""
    folder = parted.use(parted.stopped)
    plan = parted.plan()
    assert plan.own is not None
    with monkeypatch.context() as killed:
        killed.setattr("harness.physical.standby.rewind.follow", lambda *_words: pytest.exit("killed"))
        with pytest.raises(pytest.exit.Exception):
            rewind(plan, plan.own.fork.at, passfile, MemoryJournal())
    assert (folder / "standby.signal").exists()
    again = parted.plan()
    assert (again.own, again.followed) == (None, False)
    rewind(again, None, passfile, MemoryJournal())
    assert "work_mem = '7MB'" in (folder / "postgresql.auto.conf").read_text()
    parted.old.db.node.start()
    await_rows(parted, rows(parted.promoted))


def test_with_wal_that_nobody_has_or_can_open_it_is_refused(parted: Parted, recipients: Recipients) -> None:
    folder, promoted = parted.use(parted.stopped), parted.promoted.sql
    only_in_repository(folder)
    said = "where the servers parted, is neither in .* nor in the repository"
    with pytest.raises(RestoreFailed, match=f"{said}$"):
        plan_rewind(folder, promoted, lambda: (recipients.repository(MemoryStore()), recipients.dr[0]))
    with pytest.raises(RestoreFailed, match=rf"{said} \(WAL of run .* does not open it"):
        plan_rewind(folder, promoted, lambda: (parted.old.repository, new_pair()[0]))


def test_one_that_has_nothing_of_its_own_follows_without_a_rewind(parted: Parted, passfile: Path) -> None:
    parted.use(parted.before)
    plan = parted.plan()
    assert plan.own is None
    rewind(plan, None, passfile, MemoryJournal())
    parted.old.db.node.start()
    await_rows(parted, rows(parted.promoted))


def without_checksums(folder: Path) -> None:
    programs_of(18).run("pg_checksums", "--disable", "-D", str(folder))


def with_a_tablespace(folder: Path) -> None:
    (folder / "pg_tblspc/16385").symlink_to(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_checksums, "has neither data checksums nor wal_log_hints"),
        (with_a_tablespace, r"tablespaces are not rewound \(16385\)"),
    ],
)
def test_a_folder_that_cannot_be_rewound_is_refused(parted: Parted, change: Callable[[Path], None], said: str) -> None:
    change(parted.use(parted.stopped))
    with pytest.raises(Refused, match=said):
        parted.plan()


def test_another_system_and_a_running_server_are_refused_in_one_line(parted: Parted, server: DatabaseServer) -> None:
    with pytest.raises(Refused, match=r"a server runs on it \(process \d+\); stop it; .*: it is no copy of it$"):
        parted.plan(folder_of(server))


def test_a_folder_without_a_server_is_refused(parted: Parted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{tmp_path}: no data folder of a database server$"):
        parted.plan(tmp_path)


def test_a_server_that_was_started_since_the_plan_is_refused(parted: Parted, passfile: Path) -> None:
    parted.use(parted.stopped)
    plan = parted.plan()
    assert plan.own is not None
    parted.old.db.node.start()
    with pytest.raises(Refused, match=r"a server runs on it \(process \d+\); stop it$"):
        rewind(plan, plan.own.fork.at, passfile, MemoryJournal())


def test_one_that_was_promoted_itself_is_refused(parted: Parted) -> None:
    """Both are on a timeline 2, each of its own."""
    (parted.use(parted.stopped) / "standby.signal").touch()
    parted.old.db.node.start()
    parted.old.db.execute("postgres", "SELECT pg_promote()")
    stop(parted.old.db)
    with pytest.raises(Refused, match="was promoted itself, to timeline 2, and is no old primary; restore a base"):
        parted.plan()
