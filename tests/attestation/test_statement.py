"""A signed statement is read as one of blackstart about distinct subjects, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from harness.attestation.statement import PREDICATE, STATEMENT, read_statement
from harness.core.errors import Unreadable

SUBJECT = {"name": "record.json", "digest": {"sha256": "00"}}


def statement(**changed: Any) -> dict[str, Any]:
    said = {"blackstart": {"drill": "one"}}
    return {"_type": STATEMENT, "predicateType": PREDICATE, "subject": [SUBJECT], "predicate": said} | changed


def test_a_statement_names_its_subjects_and_what_blackstart_says() -> None:
    assert read_statement(statement()) == ({"record.json": "00"}, {"drill": "one"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"_type": "https://in-toto.io/Statement/v0"}, "not a test result"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "not a test result"),
        ({"subject": [SUBJECT, {"name": "record.json", "digest": {"sha256": "ff"}}]}, "a subject is there twice"),
        ({"subject": [{"name": "record.json"}]}, "not one of blackstart"),
        ({"predicate": {}}, "not one of blackstart"),
    ],
)
def test_any_other_statement_is_unreadable(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read_statement(statement(**changed))
