"""Exit codes and one-line reasons of errors; results and errors of parallel calls."""

from __future__ import annotations

from threading import Event

import pytest

from harness.core.errors import (
    BackupFailed,
    Finding,
    HarnessError,
    NodeExited,
    NoValidBackup,
    RestoreFailed,
    TookTooLong,
    UsageError,
    exit_code,
    reason_of,
)
from harness.core.node import runs_images
from harness.core.parallel import in_parallel
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


def test_the_exit_code_of_a_node_is_known_or_none() -> None:
    assert (NodeExited("ended", 7).code, NodeExited("ended").code) == (7, None)


def test_parallel_calls_all_end_before_the_first_error_is_raised() -> None:
    ended = Event()

    def fail() -> int:
        raise HarnessError("first")

    def work() -> int:
        ended.set()
        return 1

    assert in_parallel({}) == {}
    assert in_parallel({"a": work, "b": lambda: 2}) == {"a": 1, "b": 2}
    ended.clear()
    with pytest.raises(HarnessError, match="first"):
        in_parallel({"fails": fail, "works": work})
    assert ended.is_set()


@pytest.mark.parametrize("images", [True, False])
def test_a_site_says_whether_it_runs_images(*, images: bool) -> None:
    assert runs_images(Fake(runs_images=images).site("dr")) is images
