"""Values of an answer that are not there, or too many, are findings."""

from __future__ import annotations

from functools import partial

import pytest

from harness.core.errors import Finding, UsageError
from harness.core.service import Answer
from harness.traffic.declared import ExchangeTable
from harness.traffic.exchange import Encoded, _compare, _placeholder
from harness.traffic.json_path import values_at

BODY = b'{"rows": [{"id": 1}, {"id": 2}], "name": "shop", "none": ""}'


def test_values_are_found_by_their_path() -> None:
    assert values_at(BODY, "rows[*].id") == (1, 2)
    assert values_at(BODY, "rows[-1].id") == (2,)


@pytest.mark.parametrize(
    ("path", "said"),
    [("name[*]", r"\[\*\] needs a list, not"), ("rows[2]", "no 2 in"), ("nothing", "no 'nothing' in")],
)
def test_a_value_that_is_not_there_is_a_finding(path: str, said: str) -> None:
    with pytest.raises(Finding, match=said):
        values_at(BODY, path)


def test_a_placeholder_is_one_value() -> None:
    answer = Answer(200, BODY, {})
    assert _placeholder("answer:name", "new", answer) == "shop"
    with pytest.raises(Finding, match="2 values in the answer, not one"):
        _placeholder("answer:rows[*].id", "new", answer)


def test_text_that_is_empty_once_it_is_filled_in_would_pass_for_every_answer() -> None:
    answer, sent = Answer(200, BODY, {}), Encoded("GET", "/", {}, None)
    declared = ExchangeTable.model_validate({"path": "/", "contains": "@{answer:none}"})
    with pytest.raises(UsageError, match="`contains` is empty once it is filled in"):
        _compare(declared, sent, answer, partial(_placeholder, new="new", answer=answer))
