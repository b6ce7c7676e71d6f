"""`blackstart controls`, `history` and `certificate` on records in a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.attestation.sign_off import sign_off
from harness.cli import app
from harness.core.clock import SYSTEM
from harness.core.errors import UsageError
from harness.core.record import DrillRecord
from harness.evidence.folder import RecordFolder
from tests.records import a_record, kept

ENDED = date(2026, 5, 1)
EXCEPTION = '[[exception]]\nscenario = "a <drill>"\nby = "Ada"\nreason = "disks are ordered"\nuntil = {}\n'


def on(day: int, record: DrillRecord) -> DrillRecord:
    return replace(record, finished=f"2026-05-{day:02}T02:00:00+00:00")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave(*records: DrillRecord) -> None:
    for record in records:
        RecordFolder.make(Path("reports"), record.drill).write(record)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, UsageError):
        raise done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def row_of(*words: str) -> dict[str, object]:
    _, text = run("controls", "--format", "json", *words)
    found: dict[str, object] = next(row for row in json.loads(text)["controls"] if row["control"] == "NIST-CP-4")
    return found


def test_the_clock_moved_a_year() -> None:
    leave(on(1, kept()))
    assert run("controls", "--only", "NIST-CP-4", "--at", "2026-06-01")[0] == 0
    assert row_of("--at", "2026-06-01")["status"] == "covered"
    code, text = run("controls", "--only", "NIST-CP-4", "--at", "2027-05-02")
    assert code == 1
    assert "stale" in text
    assert row_of("--at", "2026-04-30")["status"] == "gap"


def test_without_a_record_every_control_is_a_gap() -> None:
    code, text = run("controls")
    assert code == 1
    assert text.count("gap") == 12


def test_a_finding_is_closed_by_a_pass_and_by_nothing_weaker() -> None:
    leave(on(1, a_record()))
    assert row_of("--at", "2026-05-10")["status"] == "open finding"
    leave(on(2, replace(kept(), scenario_sha256="00" * 32)))
    leave(on(3, replace(kept(), promise=replace(kept().promise, rto_seconds=1000.0))))
    leave(on(3, replace(kept(), promise=replace(kept().promise, missing_files=9))))
    leave(on(4, replace(kept(), verdict="UNKNOWN", expected="UNKNOWN")))
    assert row_of("--at", "2026-05-10")["status"] == "open finding"
    leave(on(5, kept()))
    assert row_of("--at", "2026-05-10")["status"] == "covered"


def test_an_exception_has_a_name_and_a_last_day(here: Path) -> None:
    leave(on(1, a_record()))
    (here / "controls.toml").write_text(EXCEPTION.format("2026-05-20"))
    code, text = run("controls", "--only", "NIST-CP-4", "--at", "2026-05-20")
    assert code == 0
    assert "put aside by Ada until 2026-05-20: disks are ordered" in text
    code, text = run("controls", "--only", "NIST-CP-4", "--at", "2026-05-21")
    assert code == 1
    assert "open: the exception by Ada ended on 2026-05-20" in text


def test_an_interval_of_your_own(here: Path) -> None:
    leave(on(1, kept()))
    (here / "mine.toml").write_text('[interval_days]\n"NIST-CP-4" = 7\n')
    assert row_of("--at", "2026-05-20", "--file", "mine.toml")["status"] == "stale"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EXCEPTION.format("2026-05-20").replace("by = ", "bye = "), "unknown key; did you mean 'by'"),
        (EXCEPTION.format("2026-05-20").replace('"Ada"', '""'), "exception.0.by"),
        (EXCEPTION.format("2026-05-20").replace("until = 2026-05-20", ""), "needs until"),
        (EXCEPTION.format((SYSTEM.wall() + timedelta(days=800)).date()), "more than a year ahead"),
        ('[interval_days]\n"NIST-CP-4" = 0\n', "interval_days.NIST-CP-4"),
        ('[interval_days]\n"NIST-CP-4" = true\n', "interval_days: must be a number, not true"),
        ("[interval_day]\n", "did you mean 'interval_days'"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(here: Path, text: str, said: str) -> None:
    (here / "controls.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        run("controls")


def test_a_record_of_the_future_is_named() -> None:
    leave(replace(kept(), finished="2999-05-02T02:00:00+00:00"))
    _, said = run("controls", "--only", "NIST-CP-4")
    assert "it ended in the future (2999-05-02); look at the clocks" in said
    assert "gap" in said


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_any_day_can_be_asked_for(here: Path, day: str) -> None:
    leave(replace(kept(), finished="9999-12-31T23:59:59-14:00"), replace(kept(), finished="0001-01-01T00:00:00+14:00"))
    (here / "controls.toml").write_text(EXCEPTION.format(SYSTEM.wall().date()))
    run("controls", "--at", day)


@pytest.mark.parametrize("words", [("--at", "yesterday"), ("--only", "NIST-CP-44"), ("--file", "none.toml")])
def test_a_mistake_in_an_option_is_one_line(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=words[1]):
        run("controls", *words)


@pytest.mark.damages_records
def test_a_damaged_record_is_named_and_hides_no_other(here: Path) -> None:
    leave(on(1, kept()))
    (here / "reports/drills/20260101T000000Z-x").mkdir()
    (here / "reports/drills/20260101T000000Z-x/record.json").write_text("{")
    code, text = run("controls", "--at", "2026-05-10", "--only", "NIST-CP-4")
    assert code == 0
    assert "not counted" in text
    assert "covered" in text


def test_the_forms_say_the_same_and_escape() -> None:
    leave(on(1, replace(a_record(), reasons=("<script>alert(1)</script> | x",))))
    _, table = run("controls", "--at", "2026-05-10")
    _, markdown = run("controls", "--format", "markdown", "--at", "2026-05-10")
    _, page = run("controls", "--format", "html", "--at", "2026-05-10")
    for text in (table, markdown, page):
        assert "open finding" in text
        assert "NIST-CP-4" in text
    assert "| NIST-CP-4 | NIST 800-53 | open finding |" in markdown
    assert "<script" not in markdown
    assert "<script" not in page
    assert "0 of 12 covered" in page


@pytest.mark.damages_records
def test_the_certificate_says_who_signed_off(here: Path) -> None:
    leave(kept())
    (folder,) = (here / "reports/drills").iterdir()
    run("certificate")
    assert "nobody signed off" in (here / "certificate.html").read_text()
    note = sign_off(folder, "Grace Hopper", "", None)
    run("certificate")
    assert "Grace Hopper" in (here / "certificate.html").read_text()
    note.write_text("{")
    run("certificate")
    assert "not readable" in (here / "certificate.html").read_text()


def test_history_has_a_trend_for_each_drill() -> None:
    for day, rto in enumerate((20.0, 40.0, 80.0), 1):
        leave(on(day, replace(kept(), rto_seconds=rto)))
    leave(on(4, replace(a_record(), verdict="UNKNOWN", rto_seconds=None, rpo_seconds=None)))
    leave(on(5, replace(kept(), drill="another")))
    code, text = run("history", "--drill", "<drill>")
    assert code == 0
    assert "a <drill> (shop, embedded): 3 of 4 as expected · RTO ▃▅█· · RPO ███·" in text
    assert "KEPT was expected" in text
    assert "another" not in text
    assert "1 of 1 as expected" in run("history", "--drill", "another")[1]
    assert "RTO █· " in run("history", "--drill", "<drill>", "--last", "2")[1]


def test_a_copy_of_a_record_counts_once(here: Path) -> None:
    leave(on(1, kept()))
    (folder,) = (here / "reports/drills").iterdir()
    shutil.copytree(folder, folder.parent / "zz-copied")
    leave(on(2, kept()))
    _, text = run("history")
    assert "2 of 2 as expected" in text
    assert f"zz-copied: a copy of {folder.name}, which counts once" in " ".join(text.split())
    assert "zz-copied: a copy of" in run("controls")[1]


def test_history_without_a_record_says_so() -> None:
    with pytest.raises(UsageError, match="no record of a drill whose name has 'x'"):
        run("history", "--drill", "x")


def test_the_certificate_of_the_newest_record(here: Path) -> None:
    leave(kept())
    code, text = run("certificate")
    assert code == 0
    assert text.strip() == "certificate.html"
    assert "<script" not in (here / "certificate.html").read_text()
    (folder,) = (here / "reports/drills").iterdir()
    assert run("certificate", str(folder), "--out", "other.html")[0] == 0
    assert (here / "other.html").read_text() == (here / "certificate.html").read_text()
    with pytest.raises(UsageError, match="not a drill record"):
        run("certificate", "nowhere")
