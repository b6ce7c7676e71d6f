"""A task in a pod reports its own end: the output of `kubectl` may be cut off although its exit code is 0."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.core.errors import TookTooLong
from harness.substrate.embedded.process_tree import Owner
from harness.substrate.embedded.spawn import spawn
from harness.substrate.embedded.undo_journal import UndoJournal
from harness.substrate.kind.task import BROKEN_OFF, HOLD, PodTask, framed, parted

MUCH = "head -c 3000000 /dev/zero"


def running(folder: Path, script: str, *, whole: bool = True, stdin: bytes = b"") -> PodTask:
    """Return a task whose `kubectl` is the shell of this machine; without `whole`, its output has no mark."""
    mark, work = framed(("sh", "-c", script), HOLD)
    home = folder / "home"
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    argv = work if whole else ("sh", "-c", script)
    child = spawn(argv, env, home, UndoJournal(folder), Owner(folder, "dr/work-1"), None)
    made = PodTask("work", folder / "work.log", child.end, child, mark)
    made.follow(stdin)
    return made


@pytest.mark.parametrize("code", [0, 7, 255])
def test_all_output_arrives_with_the_exit_code_of_the_command(tmp_path: Path, code: int) -> None:
    with running(tmp_path, f"cat; {MUCH}; printf 123; printf why >&2; exit {code}", stdin=b"given") as task:
        assert task.stdout.read() == b"given" + bytes(3_000_000) + b"123"
        done = task.finish(10)
    assert (done.code, done.errors) == (code, "why")
    assert (tmp_path / "work.log").read_text() == "why"


def test_output_arrives_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "echo up; exec sleep 300") as task:
        assert task.stdout.readline() == b"up\n"


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"", b""),
        (b"up\n", b""),
        (b"up\na", b"a"),
        (b"xabab", b"abab"),
        (b"xababc", b"ababc"),
        (b"xababd", b""),
        (b"xababc0", b"ababc0"),
        (b"xababc007", b"ababc007"),
        (b"xababc0x", b""),
        (b"xababc0071", b""),
    ],
)
def test_only_a_possible_beginning_of_the_mark_is_kept_back(data: bytes, held: bytes) -> None:
    assert parted(data, b"ababc") == (data.removesuffix(held), held)


def test_output_without_its_mark_is_a_failure(tmp_path: Path) -> None:
    with running(tmp_path, MUCH, whole=False) as task:
        assert task.stdout.read() == bytes(3_000_000)
        done = task.finish(10)
    assert done.code == BROKEN_OFF
    assert done.errors == "error: its output was cut off; try again"


def test_an_exit_code_of_kubectl_other_than_0_is_passed_on(tmp_path: Path) -> None:
    with running(
        tmp_path, "echo part; echo 'command terminated with exit code 137' >&2; exit 137", whole=False
    ) as task:
        assert task.stdout.read() == b"part\n"
        done = task.finish(10)
    assert (done.code, done.errors) == (137, "")


def test_a_task_ends_though_its_output_is_not_read(tmp_path: Path) -> None:
    with running(tmp_path, f"{MUCH}; exit 3") as task:
        task.stdout.close()
        assert task.finish(10).code == 3


def test_a_task_that_is_left_early_is_killed(tmp_path: Path) -> None:
    with (
        running(tmp_path, "exec cat /dev/zero") as task,
        pytest.raises(TookTooLong, match=r"work: not done within 0.2 s"),
    ):
        task.finish(0.2)
    assert task.child.poll() is not None
