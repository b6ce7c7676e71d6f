"""Text of others in a record (databases, tables, services, answers): no output lets it command a terminal or a page."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.cli.app import say, say_json, say_table, say_text, warn
from harness.core.clock import SYSTEM
from harness.core.journal import Event
from harness.core.record import DrillRecord, FindingEntry, KeyResult
from harness.core.text import shown
from harness.evidence.folder import RecordFolder
from harness.evidence.report.pages import certificate, entry_of, overview, waterfall
from harness.evidence.report.terminal import Progress, summary
from harness.evidence.report.view import view_of
from harness.notify.message import body_of, title_of
from harness.notify.textfile import METRICS, SAMPLE, write_textfile
from tests.attacks.own_drills import drill, own, scenario
from tests.records import a_record

# A window title, a screen that is cleared, a C1 command, a bidi override, a line of its own, markup and a link.
EVIL = (
    "db\x1b]0;t\x07\x1b[2J\x9b31m\u202egnp\r\nVERIFIED all is well\u2028"
    "<script>alert(1)</script>|[x](javascript:a)`\x7f\U000e0041"
)
pytestmark = pytest.mark.attacks


def evil() -> DrillRecord:
    """Return a record in which every text that others may have chosen is evil."""
    record = a_record()
    return replace(
        record, drill=EVIL, estate=EVIL, objective=EVIL, substrate=EVIL, reasons=(EVIL,), uncovered=(EVIL,),
        covered=(EVIL,), excluded=(EVIL,), not_compared=(EVIL,), assertions=(EVIL,), not_drilled=(EVIL,),
        repeated=(EVIL,), lost_objects=(EVIL,), passed_over=((EVIL, EVIL),), notes={EVIL: EVIL}, versions={EVIL: EVIL},
        backup={"id": EVIL, "snapshot_at": EVIL}, initiator=EVIL, approver=EVIL, commit=EVIL, unmet=(EVIL,),
        findings=(FindingEntry(EVIL, EVIL, EVIL),), controls=("NIST-CP-4", EVIL), verdict="BROKEN",
        promise=replace(record.promise, name=EVIL, owner=EVIL, reason=EVIL),
        key_results=(KeyResult(EVIL, EVIL, passed=False, detail=EVIL, took_seconds=0.1, at_seconds=20.0),),
        ledgers=tuple(replace(one, name=EVIL) for one in record.ledgers),
        phases=tuple(replace(one, name=EVIL) for one in record.phases),
    )  # fmt: skip


def require_plain(text: str, *, page: bool = False) -> None:
    """Raise unless every line of a text is ours, and each character of it one that can be shown."""
    odd = {f"U+{ord(char):04X}" for line in text.split("\n") for char in line if not shown(char) and char != "\t"}
    assert odd == set()
    assert not any(line.startswith("VERIFIED all") for line in text.split("\n"))
    if page:
        assert "<script>alert" not in text
    assert text.encode()


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder with one record, written as a drill writes it."""
    folder = RecordFolder.make(tmp_path / "reports", "evil")
    folder.write(replace(evil(), record=folder.path.name))
    (folder.path / "told.json").write_text(json.dumps([{"target": EVIL, "outcome": EVIL, "error": EVIL}]))
    return tmp_path / "reports"


def test_pages_and_terminal_of_a_record(reports: Path, tmp_path: Path) -> None:
    (folder,) = (reports / "drills").iterdir()
    entry = entry_of(evil(), folder, tmp_path, EVIL)
    for page in (overview([entry], "allure.html"), certificate(entry, "5c" * 32), waterfall(evil())):
        require_plain(page, page=True)
        assert "\\u202e" in page  # named, not left out
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=False)
    console.print(summary(evil()))
    Progress(console).event(Event(0.0, SYSTEM.wall(), "selected", EVIL, "2.3", {"reason": EVIL}))
    require_plain(written.getvalue())


def test_messages_and_metrics(tmp_path: Path) -> None:
    view = view_of(evil())
    require_plain(title_of(view))
    assert "\n" not in title_of(view)
    require_plain(body_of(view, "a-record"))
    file = tmp_path / "blackstart.prom"
    for _ in range(2):  # what was written is read back when the next drill ends
        write_textfile(file, view, 1)
    text = file.read_text(encoding="utf-8")
    require_plain(text)
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    assert all((found := SAMPLE.fullmatch(line)) and found["name"] in METRICS for line in lines)
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines})


@pytest.mark.parametrize(
    "words",
    [("history",), ("certificate",), *(("controls", "--format", f) for f in ("table", "markdown", "json", "html"))],
)
def test_commands_over_records(
    reports: Path, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words, "--reports", reports)
    require_plain(done.output, page="html" in words)
    assert done.exit_code in (0, 1), done.output
    if "markdown" in words:
        assert "[x](" not in done.output
        assert "&lt;script>" in done.output
    if "json" in words:
        assert json.loads(done.output)["findings"][0]["scenario"].startswith("db\\u001b")
    if "certificate" in words:
        require_plain((tmp_path / "certificate.html").read_text(encoding="utf-8"), page=True)


def test_what_commands_print_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    warn(EVIL)
    say_text(f"one\n\ttwo {EVIL}")
    say_table(("a", "b"), [(EVIL, "c")])
    say_json({EVIL: EVIL})
    out, err = capsys.readouterr()
    for text in (out, err):
        require_plain(text.replace("\nVERIFIED", "\nof several lines", 1))
    assert json.loads(out.splitlines()[-1]) == {EVIL: EVIL}  # the escapes are those of JSON
    say("plain: für 会社\u3000\u200d 👩\u200d🚒")
    assert capsys.readouterr().out == "plain: für 会社\u3000\u200d 👩\u200d🚒\n"


def test_the_error_of_a_drill_on_the_terminal(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", scenario("Then the promise is broken"))
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('Finding("RTO missed")', "Finding('table \\x1b[2J\\u202ex')"), encoding="utf-8")
    done = drill(folder)
    assert done.returncode == 1
    assert "Finding: table \\u001b[2J\\u202ex" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
