"""drill.toml with what no page can show and no plan can mean: one line each, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.estate.drill_file import load_drill_file
from tests.estate.test_drill_file import TODAY, loaded

pytestmark = pytest.mark.attacks
TWICE = "[people]\nparticipants = [{ name = 'Ann' }, { name = '\uff21nn ' }]"
LEFT_OUT = "[people]\nobservers = [{ name = 'Ann' }]\nexcluded = [{ name = 'ANN' }]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval_days = true", "interval_days: must be a number, not true"),
        ("interval_days = 0", "interval_days: must be greater than or equal to 1"),
        ("retention_days = -90", "retention_days: must be greater than or equal to 1"),
        ("interval_days = 1_000_000_000", "interval_days: must be less than or equal to 36525"),
        ("interval_days = 1e9", "interval_days: must be less than or equal to 36525"),
        ("interval_days = nan", "interval_days: must be a finite number"),
        ("interval_days = '90'", "interval_days: must be a number, without quotes"),
        ("basis = 'x\u202egnp.exe'", r"basis: has a character that cannot be shown \(U\+202E\)"),
        (r'basis = "\u001b[2J"', r"basis: has a character that cannot be shown \(U\+001B\)"),
        (r'basis = "one\ntwo"', r"basis: has a character that cannot be shown \(U\+000A\)"),
        (r'deviations = ["x\u0000"]', "deviations: has a zero byte"),
        ("basis = '  '", "basis: must not be blank"),
        ("basis = ''", "basis: .*at least 1 character"),
        (f"basis = '{'x' * 501}'", "basis: .*at most 500 characters"),
        ("[people]\nparticipants = 'Ann'", "people.participants: must be a list, in square brackets"),
        ("[people]\nparticipants = ['Ann']", "people.participants.0: must be a table"),
        ("[people]\nparticipants = [{ role = 'lead' }]", "people.participants.0: needs name"),
        (f"[people]\nobservers = [{{ name = 'A', role = '{'x' * 501}' }}]", "people.observers.0.role: .*at most 500"),
        (TWICE, "people.participants: .* is there twice; name each person once"),
        (LEFT_OUT, "people: 'ANN' is excluded, and a participant or observer"),
        ("[plan]\nchanged_on = 'soon'", "plan.changed_on: "),
        ("plan = 7", "plan: must be a table"),
        ("[people]\nparticipant = []", r"people.participant: unknown key; did you mean 'participants'\?"),
        (r'"int\u001brval_days" = 1', "unknown key"),
    ],
)
def test_it_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_html_in_a_text_is_text(tmp_path: Path) -> None:
    assert loaded(tmp_path, "basis = '<script>x</script>'").statements(TODAY).basis == "<script>x</script>"


def test_what_is_in_the_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "drill.toml"
    path.write_bytes(b"basis = '\xff'")
    with pytest.raises(UsageError, match=r"drill.toml: not UTF-8 \(byte 10\)"):
        load_drill_file(tmp_path / "estate.toml")
    path.unlink()
    path.symlink_to("nowhere.toml")
    with pytest.raises(UsageError, match=r"drill\.toml: No such file"):
        load_drill_file(tmp_path / "estate.toml")
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match=r"drill\.toml: Is a directory"):
        load_drill_file(tmp_path / "estate.toml")


def test_who_asked_and_who_approved_are_names_that_can_be_shown(tmp_path: Path) -> None:
    free, bound = loaded(tmp_path, ""), loaded(tmp_path, "approval = 'required'")
    with pytest.raises(UsageError, match=r"--approver: the name has a character that cannot be shown \(U\+001B\)"):
        free.require_approval("ops", "\x1b[2J")
    with pytest.raises(UsageError, match="--initiator: the name is longer than 500"):
        free.require_approval("o" * 501, "")
    for same in ("OPS ", "\uff4fps", "op\u200ds", "o ps"):
        with pytest.raises(UsageError, match="cannot approve what they initiate"):
            bound.require_approval("ops", same)
