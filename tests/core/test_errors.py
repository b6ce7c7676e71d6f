"""Exit codes and one-line reasons of errors; results and errors of parallel calls."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from unittest.mock import Mock

import pytest

from harness.core import parallel
from harness.core.errors import (
    BackupFailed,
    Finding,
    HarnessError,
    NodeExited,
    NoValidBackup,
    RestoreFailed,
    TookTooLong,
    UsageError,
    described,
    exit_code,
    reason_of,
)
from harness.core.node import runs_images
from harness.core.parallel import Stops, in_order, in_parallel
from tests.substrate.fake import Fake


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Finding, 1),
        (BackupFailed, 1),
        (NoValidBackup, 1),
        (RestoreFailed, 1),
        (UsageError, 2),
        (HarnessError, 3),
        (TookTooLong, 3),
        (RuntimeError, 3),
    ],
)
def test_exit_codes_of_errors(kind: type[Exception], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_a_reason_is_one_line_and_never_empty() -> None:
    assert reason_of(HarnessError("two\n  lines")) == "two lines"
    assert reason_of(KeyError()) == "KeyError"
    assert described(HarnessError("no answer")) == "no answer"
    assert described(ValueError("a defect")) == "ValueError: a defect"


def test_the_exit_code_of_a_node_is_known_or_none() -> None:
    assert (NodeExited("ended", 7).code, NodeExited("ended").code) == (7, None)


def fail() -> int:
    raise HarnessError("first")


def test_parallel_calls_return_their_results_by_name() -> None:
    assert in_parallel({}) == {}
    assert in_parallel({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}


def test_after_an_error_no_call_is_begun_and_those_under_way_are_stopped_and_have_ended() -> None:
    begun, told, ended = Event(), Event(), Event()
    never: list[str] = []
    stops = Stops()

    def work() -> int:
        with stops.calling(told.set):
            begun.set()
            assert told.wait(5)
            ended.set()
        return 1

    def wait() -> int:
        never.append("begun")
        return 1

    def fail_late() -> int:
        begun.wait(5)
        return fail()

    calls: dict[str, Callable[[], int]] = {"works": work, "fails": fail_late, "waits": wait}
    with pytest.raises(HarnessError, match="first"):
        in_parallel(calls, limit=2, stop=stops.stop)
    assert ended.is_set()
    assert not never


def test_an_error_of_the_only_call_stops_nothing() -> None:
    with pytest.raises(HarnessError, match="first"):
        in_parallel({"fails": fail}, stop=Stops().stop)


def test_what_is_registered_after_the_stop_is_called_at_once() -> None:
    stops, told = Stops(), Event()
    stops.stop()
    with stops.calling(told.set):
        assert told.is_set()
    assert stops.stopped


def test_an_interruption_of_the_waiting_thread_stops_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Event()
    monkeypatch.setattr(parallel, "wait", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        in_parallel({"works": lambda: told.wait(5)}, stop=told.set)


def test_calls_for_a_stream_of_items_are_a_few_ahead_and_answered_in_order() -> None:
    called: list[int] = []

    def double(number: int) -> int:
        called.append(number)
        return fail() if number == 7 else 2 * number

    answers = in_order(double, iter(range(100)), workers=2)
    assert [next(answers), next(answers)] == [(0, 0), (1, 2)]
    assert len(called) < 10  # far from all
    with pytest.raises(HarnessError, match="first"):
        list(answers)
    assert list(in_order(lambda number: number, (1, 2), workers=8)) == [(1, 1), (2, 2)]
    assert list(in_order(fail_for, ())) == []


def fail_for(_item: int) -> int:
    return fail()


@pytest.mark.parametrize("images", [True, False])
def test_a_site_says_whether_it_runs_images(*, images: bool) -> None:
    assert runs_images(Fake(runs_images=images).site("dr")) is images
