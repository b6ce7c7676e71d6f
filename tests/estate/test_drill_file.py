"""drill.toml: what people state, what is left out, and what is wrong in it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.attestation.keys import VARIABLE, key_name, signing_key
from harness.core.errors import UsageError
from harness.core.record import Person, Statements
from harness.estate.drill_file import DrillFile, load_drill_file
from harness.signing import new_signing_pair

TODAY = date(2026, 5, 1)
WHOLE = """
approval = "required"
key = "file:secrets/record.pem"
basis = "BIA 2026, scenario 3"
critical_function = "order intake, tier 1"
deviations = ["the notary was not called"]
interval_days = 90
retention_days = 1095

[plan]
name = "DR plan of the shop"
version = "4.2"
approved_by = "the board"
changed_on = 2026-03-01

[scope]
inside = ["shop", "files"]
outside = ["telephony"]
third_parties = ["the provider of DNS"]
assumptions = ["the offsite store is reachable"]

[people]
participants = [{ name = "A", role = "lead" }, { name = "B" }]
observers = [{ name = "C", role = "audit" }]
excluded = [{ name = "D", role = "administrator" }]
reviewer = { name = "E", role = "risk" }
"""


def loaded(folder: Path, text: str) -> DrillFile:
    (folder / "drill.toml").write_text(text)
    return load_drill_file(folder / "estate.toml")


def test_all_that_people_can_state_is_in_the_record(tmp_path: Path) -> None:
    found = loaded(tmp_path, WHOLE)
    assert found.inputs == {"drill.toml": WHOLE.encode()}
    assert found.statements(TODAY) == Statements(
        plan="DR plan of the shop", plan_version="4.2", plan_approved_by="the board", plan_changed_on="2026-03-01",
        basis="BIA 2026, scenario 3", critical_function="order intake, tier 1", in_scope=("shop", "files"),
        out_of_scope=("telephony",), third_parties=("the provider of DNS",),
        assumptions=("the offsite store is reachable",), participants=(Person("A", "lead"), Person("B", "")),
        observers=(Person("C", "audit"),), excluded_people=(Person("D", "administrator"),),
        reviewer=Person("E", "risk"), deviations=("the notary was not called",), next_due="2026-07-30",
        retain_until="2029-04-30",
    )  # fmt: skip


def test_without_the_file_nothing_is_stated_and_nothing_required(tmp_path: Path) -> None:
    found = load_drill_file(tmp_path / "estate.toml")
    assert found.statements(TODAY) == Statements()
    assert found.inputs == {}
    found.require_approval("ops", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aproval = 'required'", r"aproval: unknown key; did you mean 'approval'\?"),
        ("[plan]\nversoin = '1'", r"plan.versoin: unknown key; did you mean 'version'\?"),
        ("[people]\nobservers = [{ nam = 'C' }]", r"people.observers.0.nam: unknown key; did you mean 'name'\?"),
        ("approval = 'always'", "approval: must be 'required' or 'optional'"),
        ("key = 'a secret'", "key: must be a reference"),
        ("interval_days = 0", "interval_days: "),
        ("[plan", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loaded(tmp_path, text)


@pytest.mark.parametrize("approver", ["", "  ", "ops", "OPS "])
def test_a_drill_that_needs_an_approval_is_refused_without_another_person(tmp_path: Path, approver: str) -> None:
    found = loaded(tmp_path, 'approval = "required"')
    with pytest.raises(UsageError, match="--approver"):
        found.require_approval("ops", approver)
    found.require_approval("ops", "the owner")


def test_the_signing_key_is_a_reference_and_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert signing_key(None) is None
    (tmp_path / "one.pem").write_bytes(new_signing_pair()[0])
    (tmp_path / "two.pem").write_bytes(new_signing_pair()[0])
    one = key_name(signing_key(f"file:{tmp_path}/one.pem"))
    monkeypatch.setenv(VARIABLE, f"file:{tmp_path}/two.pem")
    assert key_name(signing_key(f"file:{tmp_path}/one.pem")) != one
    monkeypatch.setenv(VARIABLE, f"file:{tmp_path}/none.pem")
    with pytest.raises(UsageError, match="key of records"):
        signing_key(None)
