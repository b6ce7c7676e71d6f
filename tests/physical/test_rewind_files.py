"""Which files of the data folder a rewind keeps, killed or not, and which WAL it asks the repository for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import Refused, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.core.wal import SEGMENT
from harness.physical.standby.old_primary import Plan, plan_rewind
from harness.physical.standby.rewind import rewind
from harness.repository.catalogue import Repository
from tests.physical.conftest import folder_of
from tests.physical.test_rewind import PASSWORD, Parted, await_rows, only_in_repository, parted, passfile, rows, stop

__all__ = ["parted", "passfile"]
KEPT = "data-settings"


def unreachable() -> tuple[Repository, bytes]:
    raise UsageError("no key is here")


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of the files in a folder that PostgreSQL did not make, and of those that follow it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if str(name) in SIGNALS or name.parts[0] in NAMES:
            link = str(path.readlink()).encode() if path.is_symlink() else None
            found[str(name)] = path.lstat().st_mode, link or (path.read_bytes() if path.is_file() else b"")
    return found


SIGNALS = ("standby.signal", "recovery.signal", "backup_label")
NAMES = (
    "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf", "server.key", "conf.d",
    "extra.conf", "log", "theirs.conf",
)  # fmt: skip


def rewound(parted: Parted, passfile: Path, plan: Plan | None = None) -> None:
    plan = plan or parted.plan()
    rewind(plan, plan.own.fork.at if plan.own else None, passfile, MemoryJournal())


def follows(parted: Parted) -> None:
    parted.old.db.node.start()
    await_rows(parted, rows(parted.promoted))
    assert parted.old.db.one("postgres", "SELECT pg_is_in_recovery()") is True


def killed(monkeypatch: pytest.MonkeyPatch, where: str, work: Callable[[], None]) -> None:
    """Do something that is killed right before a function is called."""
    with monkeypatch.context() as patched:
        patched.setattr(where, lambda *_words: pytest.exit("killed"))
        with pytest.raises(pytest.exit.Exception):
            work()


def secured(parted: Parted, folder: Path) -> None:
    """Have a data folder need files that PostgreSQL did not make, of which the promoted server has some too."""
    (folder / "server.key").write_text("its own")
    (folder / "server.key").chmod(0o600)
    (folder / "conf.d").mkdir(mode=0o750)
    (folder / "conf.d/own.conf").write_text("work_mem = '9MB'\n")
    (folder / "extra.conf").symlink_to("conf.d/own.conf")
    (folder / "log").mkdir(mode=0o700)
    (folder / "log/old.log").write_text("before the rewind\n")
    with (folder / "postgresql.conf").open("a") as file:
        file.write("include_dir = 'conf.d'\ninclude 'extra.conf'\n")
    auto = folder / "postgresql.auto.conf"
    auto.write_text("".join(line for line in auto.read_text().splitlines(True) if "work_mem" not in line))
    theirs = folder_of(parted.promoted)
    for name in ("server.key", "extra.conf", "theirs.conf", "log/theirs.log"):
        (theirs / name).parent.mkdir(exist_ok=True)
        (theirs / name).write_text("of the promoted server\n")


def test_every_file_that_postgresql_did_not_make_is_kept(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.crashed)
    secured(parted, folder)
    before = contents(folder)
    rewound(parted, passfile)
    after = contents(folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"postgresql.auto.conf", "standby.signal", "backup_label"}
    assert not list(folder.parent.glob("*settings*"))
    follows(parted)
    assert parted.old.db.one("postgres", "SELECT current_setting('work_mem')") == "9MB"


def test_they_are_moved_back_after_a_kill_at_any_step(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the first steps no server starts on the folder but as a standby."""
    folder = parted.use(parted.stopped)
    secured(parted, folder)
    before = contents(folder)
    aside = "harness.physical.standby.aside"
    for step in (f"{aside}.write_to_disk", "harness.physical.standby.rewind._run"):
        killed(monkeypatch, step, lambda: rewound(parted, passfile))
        assert not (folder / "postgresql.conf").exists()
        assert parted.plan().own is not None
    for step in (f"{aside}.Aside.put_back", f"{aside}.Aside._back", "harness.physical.standby.rewind.follow"):
        killed(monkeypatch, step, lambda: rewound(parted, passfile))
        assert (folder / "standby.signal").exists()
        assert not [path for path in folder.glob("*.conf") if PASSWORD in path.read_text()]  # pg_rewind writes one
        plan = parted.plan()
        assert (plan.own, plan.followed) == (None, False)
    rewound(parted, passfile)
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {"postgresql.auto.conf"}
    assert "theirs.conf" not in after
    assert not (folder.parent / KEPT).exists()
    follows(parted)


# The data folder is a mount point, as in a container: its files are kept on another file system.
MOUNTED = """
import os, stat, sys
from pathlib import Path
from harness.core.wal import Switch
from harness.physical.standby.aside import Aside, mounted_in

folder = Path(sys.argv[1])
for name in ("global", "conf.d"):
    (folder / name).mkdir(mode=0o750)
for name in ("global/pg_control", "conf.d/own.conf", "server.key"):
    (folder / name).write_text(name)
    (folder / name).chmod(0o640)
(folder / "extra.conf").symlink_to("conf.d/own.conf")
modes = lambda: {str(path): path.lstat().st_mode for path in folder.rglob("*")}
before, aside = modes(), Aside(folder)
marker = aside.marker("1", Switch(1, 0x3000000), 2)
assert aside.move_away(marker)
assert [path.name for path in folder.iterdir()] == ["global"]
assert aside.refusal(marker) == ""
(folder / "theirs.conf").touch()
aside.put_back()
aside.remove()
assert modes() == before
assert (folder / "extra.conf").readlink() == Path("conf.d/own.conf")
assert (folder / "server.key").read_text() == "server.key"
assert not aside.place.exists()
assert mounted_in(folder) == []
os.system(f"mount --bind '{folder}/conf.d' '{folder}/conf.d'")
print(*mounted_in(folder))
"""


def test_a_data_folder_that_is_a_mount_point_and_one_with_a_mount_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "data of old"
    folder.mkdir()
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    script = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    words = (*command, script, str(folder), sys.executable, "-c", MOUNTED, str(folder))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"{folder}/conf.d"), done.stderr


def test_after_a_rewind_that_failed_before_it_changed_anything_all_is_as_before(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.stopped)
    only_in_repository(folder)
    before, plan = contents(folder), parted.plan()
    plan = replace(plan, shelf=replace(plan.shelf, source=unreachable, _opened=None))
    with pytest.raises(RestoreFailed, match=r"pg_rewind: .*; no key is here; nothing was rewound$"):
        rewound(parted, passfile, plan)
    assert contents(folder) == before
    assert not (folder.parent / KEPT).exists()


def test_a_rewind_that_failed_half_way_is_ended_by_the_next(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.stopped)
    (folder / "conf.d").mkdir()
    locked = sorted((folder / "base/5").iterdir())
    for path in locked:
        path.chmod(0o400)
    with pytest.raises(RestoreFailed, match=f"or restore a base backup .*; its settings are in {folder}-settings$"):
        rewound(parted, passfile)
    assert not (folder / "conf.d").exists()
    for path in locked:
        path.chmod(0o600)
    rewound(parted, passfile)
    assert (folder / "conf.d").is_dir()
    follows(parted)


def test_a_folder_of_the_operator_is_neither_read_nor_removed(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.stopped)
    theirs = folder.parent / KEPT
    (theirs / "sub").mkdir(parents=True)
    (theirs / "pg_hba.conf").write_text("of the operator")
    with pytest.raises(Refused, match=f"^{theirs}: is in the way, and was not made by a rewind; move it elsewhere$"):
        parted.plan()
    theirs.rename(theirs.with_name("elsewhere"))
    rewound(parted, passfile)
    theirs.with_name("elsewhere").rename(theirs)
    follows(parted)
    stop(parted.old.db)
    assert parted.plan().followed
    parted.use(parted.before)
    (theirs / "sub").mkdir(parents=True)
    rewound(parted, passfile)
    assert (theirs / "sub").is_dir()
    assert not (folder / "sub").exists()


def test_settings_of_a_killed_rewind_are_not_used_once_a_server_was_started(
    parted: Parted, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parted.use(parted.stopped)
    for where, followed in (("_run", False), ("follow", True)):
        killed(monkeypatch, f"harness.physical.standby.rewind.{where}", lambda: rewound(parted, passfile))
        for path in (folder.parent / KEPT / "files").iterdir():
            path.rename(folder / path.name)
        folder.chmod(0o700)  # against what the message of PostgreSQL's refusal is there for
        parted.old.db.node.start()
        stop(parted.old.db)
        if followed:
            assert parted.plan().followed
            continue
        with pytest.raises(Refused, match=f"^{folder}-settings: is of a rewind that was killed, and a server was"):
            parted.plan()
        shutil.rmtree(folder.parent / KEPT)
    other = parted.use(parted.crashed)
    killed(monkeypatch, "harness.physical.standby.rewind._run", lambda: rewound(parted, passfile))
    other.rename(other.with_name("moved"))
    shutil.copytree(parted.crashed, other, symlinks=True)
    shutil.rmtree(other.with_name("moved"))
    with pytest.raises(Refused, match=f"^{folder}-settings: is of another rewind, to timeline 2; move what"):
        parted.plan()


def test_the_repository_and_its_key_are_asked_for_when_wal_is_lacking_alone(parted: Parted, passfile: Path) -> None:
    folder = parted.use(parted.crashed)
    rewound(parted, passfile, plan_rewind(folder, parted.promoted.sql, unreachable))
    follows(parted)
    only_in_repository(parted.use(parted.stopped))
    with pytest.raises(RestoreFailed, match=r"nor in the repository \(no key is here\)$"):
        plan_rewind(folder, parted.promoted.sql, unreachable)


@pytest.mark.night
def test_without_a_rewind_own_wal_is_used_and_nothing_is_changed_before_all_is_there(
    parted: Parted, passfile: Path
) -> None:
    """The promoted server has removed what is on the timeline before."""
    for path in (folder_of(parted.promoted) / "pg_wal").iterdir():
        if SEGMENT.fullmatch(path.name) and path.name.startswith("00000001"):
            path.unlink()
    folder = parted.use(parted.behind)
    plan = plan_rewind(folder, parted.promoted.sql, unreachable)
    assert plan.own is None
    first = plan.old.control["Latest checkpoint's REDO WAL file"]
    assert len([path for path in (folder / "pg_wal").iterdir() if path.name > first]) > 1
    rewound(parted, passfile, plan)
    follows(parted)
    folder = parted.use(parted.before)
    plan = parted.plan()
    assert plan.own is None
    own = {path.name for path in (folder / "pg_wal").iterdir()}
    before = contents(folder)
    with pytest.raises(RestoreFailed, match=r"neither on the promoted server nor in the repository \(no key is here\)"):
        rewound(parted, passfile, plan_rewind(folder, parted.promoted.sql, unreachable))
    assert (contents(folder), {path.name for path in (folder / "pg_wal").iterdir()}) == (before, own)
    rewound(parted, passfile, plan)
    assert plan.shelf.served
    follows(parted)
