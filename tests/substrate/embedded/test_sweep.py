"""Sweep after a SIGKILL of the harness: another process finds everything from the journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec
from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import RUN_TAG, Owner, boot, family, look
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.embedded.sweep import UNDO, sweep
from harness.substrate.embedded.undo_journal import JOURNAL, Undo, UndoJournal, harness_of, journalled, not_undone, runs

pytestmark = pytest.mark.programs

# Two nodes and a task; one of them has a grandchild with no environment in a session of its own.
HARNESS = """
import sys
from pathlib import Path
from harness.core.node import NodeSpec, Ready, Task
from harness.substrate.embedded.substrate import Embedded

run = Path(sys.argv[1])
substrate = Embedded(run, run.parents[1] / "logs")
site = substrate.site("primary")
hidden = "sh -c 'env -i setsid sleep 300 & env -i sleep 300 & wait' & echo up; wait"
for name in ("one", "two"):
    site.launch(NodeSpec(name, ("sh", "-c", hidden), volumes=("data",)))
with site.volume("spool").open("shop.dump", "wb") as spool:
    spool.write(b"plaintext")
task = site.run(Task("task", ("sh", "-c", "sleep 300 & echo up; wait")))
task.stdout.readline()
print("up", flush=True)
sys.stdin.read()
"""
SLEEP = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(300)")
EACH_NODE, TASK = 4, 2  # processes: two shells and two sleepers; a shell and a sleeper


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def count(run: Path) -> int:
    return len(family({row.process for row in journalled(run) if row.process}, Owner(run)))


def start_harness(run: Path) -> subprocess.Popen[bytes]:
    harness = subprocess.Popen([sys.executable, "-c", HARNESS, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert harness.stdout is not None
    assert harness.stdout.readline() == b"up\n"
    return harness


def test_a_killed_harness_leaves_nothing_that_a_sweep_does_not_find(run: Path) -> None:
    with start_harness(run) as harness:
        while count(run) < 2 * EACH_NODE + TASK:  # the shells are still at it
            assert harness.poll() is None
        before = {known.pid for known in family({r.process for r in journalled(run) if r.process}, Owner(run))}
        assert (found := harness_of(run)) is not None
        assert found.pid == harness.pid
        harness.kill()
    assert harness_of(run) is None
    assert count(run) == 2 * EACH_NODE + TASK
    assert runs(run.parent) == (run,)
    assert (run / "sites/primary/volumes/spool/shop.dump") in {row.file for row in journalled(run)}

    done = subprocess.run(
        [sys.executable, "-c", "import sys, pathlib; from harness.substrate.embedded.sweep import sweep; "
         "s = sweep(pathlib.Path(sys.argv[1])); print(s.processes, s.files)", str(run)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    processes, files = map(int, done.stdout.split())
    assert processes == 2 * EACH_NODE + TASK
    assert files > 1
    assert not [pid for pid in before if (seen := look(pid)) and seen.state != "Z"]
    assert not run.exists()
    assert runs(run.parent) == ()
    assert (run.parents[1] / "logs/primary/one.log").read_text() == "up\n"


def test_a_process_that_was_not_journalled_yet_is_found_by_its_tag(run: Path) -> None:
    run.mkdir(parents=True)
    started = UndoJournal(run)
    started.intend("primary", "postgres", "sleep")
    process = subprocess.Popen(SLEEP, env={RUN_TAG: str(run)}, start_new_session=True)
    assert sweep(run).processes == 1
    assert process.wait() == -signal.SIGKILL


def test_a_reused_pid_is_left_alone(run: Path, bystander: subprocess.Popen[bytes]) -> None:
    run.mkdir(parents=True)
    seen = look(bystander.pid)
    assert seen is not None
    for row in (
        {"pid": bystander.pid, "ticks": seen.id.ticks - 1, "boot": boot()},
        {"pid": bystander.pid, "ticks": seen.id.ticks, "boot": "another boot"},
        {"pid": os.getpid(), "ticks": 1, "boot": boot()},
    ):
        with (run / JOURNAL).open("a") as journal:
            journal.write(json.dumps(row) + "\n")
    assert sweep(run).processes == 0
    assert bystander.poll() is None


def test_processes_of_another_run_are_left_alone(run: Path, bystander: subprocess.Popen[bytes]) -> None:
    run.mkdir(parents=True)
    (run.parent / "one-more").mkdir()
    with subprocess.Popen(SLEEP, env={RUN_TAG: f"{run}-more"}) as other:
        assert sweep(run).processes == 0
        assert other.poll() is None
        other.kill()
    assert bystander.poll() is None
    assert runs(run.parent) == (run.parent / "one-more",)


def test_a_sweep_from_inside_a_run_spares_itself(run: Path) -> None:
    run.mkdir(parents=True)
    code = "import sys, pathlib; from harness.substrate.embedded.sweep import sweep; sweep(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(run)], env={RUN_TAG: str(run)}, check=False)
    assert done.returncode == 0
    assert not run.exists()


def test_plaintext_outside_the_run_folder_is_removed(run: Path, tmp_path: Path) -> None:
    run.mkdir(parents=True)
    dump = tmp_path / "elsewhere.dump"
    UndoJournal(run).note_file(dump)
    dump.write_text("plaintext")
    assert sweep(run).files == 2  # the dump and the journal
    assert not dump.exists()


def test_a_folder_outside_the_run_folder_is_removed_with_what_is_in_it(run: Path, tmp_path: Path) -> None:
    run.mkdir(parents=True)
    sockets = tmp_path / "sockets"
    UndoJournal(run).note_file(sockets)
    sockets.mkdir()
    (sockets / "log").touch()
    sweep(run)
    assert not sockets.exists()


def test_a_truncated_line_of_the_journal_is_skipped(run: Path) -> None:
    run.mkdir(parents=True)
    process = subprocess.Popen(SLEEP, start_new_session=True)
    UndoJournal(run).began(process.pid)
    with (run / JOURNAL).open("a") as journal:
        journal.write('{"pid": 1\n7\n{"pid": [], "ticks": 1, "boot": "' + boot() + '"}\n{"inte')
    assert sweep(run).processes == 1
    assert process.wait() == -signal.SIGKILL


def test_the_intent_is_on_disk_before_the_process_is(run: Path) -> None:
    with start_harness(run) as harness:
        rows = [json.loads(line) for line in (run / JOURNAL).read_text().splitlines()]
        harness.kill()
    kinds = [row["undo"].split()[0] if "undo" in row else "begun" for row in rows]
    assert kinds == ["end", "begun", "end", "begun", "remove", "end", "begun"]
    assert [row["of"] for row in rows if "pid" in row] == [row["id"] for row in rows if "intent" in row]
    assert [(row["site"], row["intent"], row["program"]) for row in rows if "intent" in row] == [
        ("primary", "one", "sh"),
        ("primary", "two", "sh"),
        ("primary", "task-1", "sh"),
    ]
    sweep(run)


def test_a_change_that_was_undone_is_marked(run: Path) -> None:
    site = Embedded(run, run.parent / "logs").site("primary")
    node = site.launch(NodeSpec("one", ("sh", "-c", "sleep 300")))
    with site.volume("spool").open("shop.dump", "wb") as spool:
        spool.write(b"plaintext")
    assert [row.undo for row in not_undone(run, *Undo)] == [Undo.REMOVE, Undo.END]
    site.volume("spool").remove("shop.dump")
    node.kill()
    assert not not_undone(run, *Undo)
    assert len([row for row in journalled(run) if row.undo]) == 2
    sweep(run)


def test_a_journal_is_continued_after_a_line_that_was_cut_off(run: Path) -> None:
    run.mkdir(parents=True)
    UndoJournal(run).note_file(run / "first")
    with (run / JOURNAL).open("a") as journal:
        journal.write('{"id": "1", "undo": "remo')
    UndoJournal(run).note_file(run / "second")
    assert [row.file for row in journalled(run)] == [run / "first", run / "second"]


def test_the_journal_stays_while_an_existing_site_is_to_be_cleared(run: Path) -> None:
    run.mkdir(parents=True)
    (run / UNDO).mkdir()
    (run / "secret").touch()
    row = UndoJournal(run).note(Undo.CLEAR, site="dr")
    for _ in range(2):
        sweep(run)
        assert sorted(path.name for path in run.iterdir()) == [UNDO, JOURNAL]
    UndoJournal(run).undone(row)
    sweep(run)
    assert not run.exists()


@pytest.mark.parametrize("owner", ["this", "another"])
def test_the_state_file_of_a_run_is_removed_and_that_of_another_is_left(run: Path, tmp_path: Path, owner: str) -> None:
    run.mkdir(parents=True)
    state = tmp_path / "live.json"
    UndoJournal(run).note(Undo.STATE, state=str(state))
    state.write_text(json.dumps({"run": str(run if owner == "this" else tmp_path / "runs/two")}))
    sweep(run)
    assert state.exists() == (owner == "another")


def test_one_folder_that_cannot_be_removed_keeps_no_other_nor_the_journal_from_being_swept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        if folder.name == "lost":
            raise HarnessError(f"{folder}: cannot be removed (Read-only file system); remove it by hand")
        remove_tree(folder)

    for name in ("a", "lost", "secrets"):
        (run / name).mkdir(parents=True)
    UndoJournal(run).note(Undo.RUN, what="a run")
    with monkeypatch.context() as patch:
        patch.setattr("harness.substrate.embedded.sweep.remove_tree", refuse)
        with pytest.raises(HarnessError, match=r"lost: cannot be removed \(Read-only file system\); remove it by hand"):
            sweep(run)
    assert sorted(one.name for one in run.iterdir()) == ["lost", JOURNAL]
    sweep(run)
    assert not run.exists()


def test_a_sweep_of_a_missing_run_does_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent").processes == 0
    assert runs(tmp_path / "absent") == ()
