"""Overrides of timeouts from the environment."""

from __future__ import annotations

import pytest

from harness.core.errors import UsageError
from harness.patience import Patience, read_patience


def test_one_timeout_is_set_and_the_others_are_multiplied() -> None:
    found, usual = read_patience({"BLACKSTART_PATIENCE_TASK_KILL": "3", "BLACKSTART_PATIENCE_FACTOR": "2"}), Patience()
    assert (found.task_kill, found.time_server) == (3.0, 2 * usual.time_server)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("TASK_KIL", "3", "no such patience; did you mean BLACKSTART_PATIENCE_TASK_KILL"),
        ("QQQ", "3", "no such patience; see BLACKSTART_PATIENCE_FACTOR"),
        *(("TASK_KILL", text, "is not a number of seconds above zero") for text in ("0", "-1", "inf", "nan", "soon")),
        ("FACTOR", "0", "is not a number of seconds above zero"),
    ],
)
def test_a_timeout_that_is_none_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"BLACKSTART_PATIENCE_{name}: .*{said}"):
        read_patience({f"BLACKSTART_PATIENCE_{name}": text})
