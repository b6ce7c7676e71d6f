"""What people read of a record: terminal, first page, certificate, waterfall."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from harness.core.judge import Phase
from harness.core.record import DrillRecord, LedgerResult
from harness.core.told import Told
from harness.evidence.folder import RecordFolder
from harness.evidence.report.build import without_record
from harness.evidence.report.chart import chart_of
from harness.evidence.report.pages import Entry, Scenario, certificate, code, entry_of, overview, waterfall, when
from harness.evidence.report.terminal import summary
from harness.evidence.report.view import view_of
from harness.evidence.told import write_told
from tests.records import a_record, kept

REFUSAL = replace(a_record(), expected="BROKEN", drill="a refusal")
HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "br", "img", "link", "hr"}


class Balanced(HTMLParser):
    """Parser that collects the text of a page, and fails at a tag that does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def test_work_of_the_harness_is_shown_with_its_share_of_the_rto() -> None:
    for text in (first_page(a_record()), shown(a_record())):
        assert "3 s, 1.5% of the RTO" in " ".join(text.split())
    assert view_of(replace(a_record(), overhead_seconds=None)).harness_work == "not measured"
    assert view_of(replace(a_record(), rto_seconds=None)).harness_work == "3 s"  # of a restore test


def read(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def words(page: str) -> str:
    return " ".join(" ".join(read(page).text).split())


def first_page(*records: DrillRecord, others: tuple[Scenario, ...] = ()) -> str:
    return overview([Entry(view_of(record)) for record in records], "allure.html", others)


def shown(record: DrillRecord) -> str:
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=200, file=nowhere)
        console.print(summary(record))
    return console.export_text()


@pytest.mark.attacks
def test_a_run_of_expected_refusals_is_green() -> None:
    """E3: the first page said `3 BROKEN, 1 UNKNOWN` of a run that had passed."""
    unknown = replace(REFUSAL, drill="another", verdict="UNKNOWN", expected="UNKNOWN")
    text = words(first_page(kept(), REFUSAL, unknown))
    assert "Recovery drills: all 3 as expected" in text
    assert "unexpected:" not in text
    assert "BROKEN a refusal as expected" in text


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (a_record(), "BROKEN a <drill> unexpected: KEPT was expected"),
        (replace(kept(), expected="BROKEN"), "KEPT a <drill> unexpected: BROKEN was expected"),
        (replace(a_record(), expected="", verdict="UNKNOWN"), "UNKNOWN a <drill> unexpected: KEPT was expected"),
        (replace(REFUSAL, unmet=("mail left",)), "BROKEN a refusal unexpected: a check failed after the verdict"),
    ],
)
def test_what_was_not_expected_is_said_and_counted(record: DrillRecord, said: str) -> None:
    text = words(first_page(record, kept()))
    assert said in text
    assert "Recovery drills: 1 unexpected , 1 as expected" in text


def test_scenarios_without_a_record_count_as_well() -> None:
    failed = Scenario("The schedule fires", "failed")
    text = words(first_page(kept(), others=(Scenario("A backup is taken", "passed"), failed)))
    assert "Recovery drills: 1 unexpected , 2 as expected" in text
    assert "The schedule fires failed" in text


def test_a_scenario_that_failed_though_its_record_is_as_expected_is_counted() -> None:
    """Its clean-up failed, for example."""
    views = [view_of(kept()), view_of(replace(a_record(), drill="b"))]
    scenarios = [Scenario("a <drill>", "broken"), Scenario("b", "failed"), Scenario("c", "passed")]
    assert without_record(scenarios, views) == [scenarios[0], scenarios[2]]
    assert without_record([Scenario("a <drill>", "passed")], views) == []


def test_the_first_page_has_promise_and_actual_in_human_durations() -> None:
    text = words(first_page(a_record()))
    for said in (
        "RTO 3 min 20 s 3 min missed",
        "RPO 3 s 1 min kept",
        "exposure 1 min 24 h kept",
        "writes lost 2 of 50 acknowledged; of the clients numbers 7, 8",
        "controls NIST-CP-4",
        "approved by not stated",
        "sign-off nobody signed off",
        "told nobody: [notify] declares no target for this outcome",
        "Backups passed over b2: flipped",
        "Not drilled 1.1: by hand",
        "postgres 18.1",
        f"commit {'c' * 40}",
    ):
        assert said in text
    assert "86400" not in text


@pytest.mark.attacks
def test_what_was_not_measured_is_not_zero() -> None:
    """E4: a recovery that restored nothing said `writes lost 0 of 12` and `0 MB, 0 rows`."""
    nothing = replace(
        a_record(),
        rto_seconds=None,
        rpo_seconds=None,
        exposure_seconds=None,
        lost=None,
        data_bytes=None,
        data_rows=None,
        phases=(),
    )
    for text in (words(first_page(nothing)), shown(nothing), words(certificate(Entry(view_of(nothing)), "d"))):
        assert "0 MB" not in text
        assert "0 of" not in text
        assert "not measured" in text


def test_the_entry_links_what_is_in_the_folder_and_says_who_was_told(tmp_path: Path) -> None:
    folder = RecordFolder.make(tmp_path, "x")
    folder.write(a_record())
    told = (Told("env:OPS", delivered=True, wall="w"), Told("heartbeat", delivered=False, wall="w", reason="500"))
    write_told(folder.path, told)
    page = tmp_path / "runs" / "one" / "report"
    page.mkdir(parents=True)
    text = overview([entry_of(a_record(), folder.path, page)], "allure.html")
    links = {str(attrs.get("href")) for tag, attrs in read(text).tags if tag == "a"}
    there = {link for link in links if link.startswith("../")}
    assert {Path(link).name for link in there} == {"record.json", "phases.svg", "told.json"}
    assert all((page / link).is_file() for link in there)
    assert "told env:OPS, heartbeat not delivered: 500" in words(text)


def test_nothing_in_a_record_becomes_markup() -> None:
    texts = {f.name: HOSTILE for f in fields(DrillRecord) if f.type is str or f.type == "str"}
    lists = ("reasons", "covered", "uncovered", "excluded", "not_compared", "assertions", "not_drilled", "controls")
    bad = replace(
        a_record(), **texts, **dict.fromkeys(lists, (HOSTILE,)),  # type: ignore[arg-type]
        passed_over=((HOSTILE, HOSTILE),), phases=(Phase(HOSTILE, 0.0, 5.0),), versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    entry = Entry(view_of(bad), (Told(HOSTILE, delivered=False, wall="", reason=HOSTILE),))
    for page in (overview([entry], "allure.html", [Scenario(HOSTILE, HOSTILE)]), certificate(entry, HOSTILE)):
        assert HOSTILE in "".join(read(page).text)
        assert "<script" not in page
    assert "<script" not in waterfall(bad)
    ET.fromstring(waterfall(bad))  # noqa: S314 - generated here


def test_a_certificate_has_no_script_and_names_the_hash_of_the_record() -> None:
    page = certificate(Entry(view_of(kept())), "ab" * 32)
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "@page" in page
    text = words(page)
    assert "KEPT a <drill> as expected" in text
    assert "RTO 29.5 s 3 min kept" in text
    assert f"SHA-256 {'ab' * 32}" in text


def test_the_waterfall_is_well_formed_and_shows_every_phase_and_the_promise() -> None:
    texts = [node.text for node in ET.fromstring(waterfall(a_record())).iter() if node.text]  # noqa: S314 - generated here
    assert {"detect", "restore", "BROKEN", "3 min 15 s", "promised RTO 3 min"} <= set(texts)
    assert waterfall(replace(a_record(), phases=(), rto_seconds=None)).startswith("<svg")


def test_the_budget_line_is_where_the_promise_ends() -> None:
    chart = chart_of(view_of(a_record()))
    assert chart.budget is not None
    assert chart.bars[0].width / 5 == pytest.approx(chart.budget / 180)
    assert chart.bars[-1].left + chart.bars[-1].width > chart.budget  # the restore took longer
    kept_chart = chart_of(view_of(replace(a_record(), rto_seconds=170.0, phases=(Phase("restore", 0.0, 170.0),))))
    assert kept_chart.budget is not None
    assert kept_chart.bars[-1].left + kept_chart.bars[-1].width < kept_chart.budget <= 100


def test_the_axis_has_round_times() -> None:
    assert [tick.label for tick in chart_of(view_of(a_record())).ticks] == ["0 s", "1 min", "2 min", "3 min"]
    quick = replace(a_record(), rto_seconds=0.4, phases=(Phase("restore", 0.0, 0.4),))
    assert chart_of(view_of(quick)).ticks[0].label == "0 s"


def test_wall_times_are_for_people() -> None:
    assert when("2026-05-01T03:59:00.250+02:00") == "2026-05-01 01:59:00 UTC"
    assert when("") == ""
    assert "2026-05-01 01:59:00 UTC to 2026-05-01 02:00:00 UTC" in words(first_page(kept()))


def test_a_budget_far_away_leaves_the_bars_wide() -> None:
    promise = replace(a_record().promise, rto_seconds=14400.0)
    chart = chart_of(view_of(replace(a_record(), promise=promise)))
    assert chart.budget == 100
    assert chart.note == "promised RTO 4 h, not to scale"
    assert chart.bars[-1].width > 80
    assert chart.bars[-1].left + chart.bars[-1].width < 100
    assert "dashed line: promised RTO 4 h, not to scale" in first_page(replace(a_record(), promise=promise))


def test_a_drill_without_phases_is_shown_without_a_waterfall() -> None:
    refused = replace(a_record(), phases=(), rto_seconds=None)
    assert shown(refused).startswith(refused.drill)
    assert "from fault" not in shown(refused)
    assert 'class="chart"' not in first_page(refused)
    assert 'class="chart"' in first_page(a_record())


def test_the_summary_has_verdict_figures_and_reasons() -> None:
    text = shown(a_record())
    assert "BROKEN (KEPT expected)  RTO 3 min 20 s of 3 min · RPO 3 s of 1 min · exposure 1 min of 24 h" in text
    assert "- RTO missed" in text
    assert "writes lost: 2 of 50 acknowledged" in text
    assert "BROKEN as expected  RTO" in shown(REFUSAL)
    assert "KEPT  RTO 29.5 s of 3 min" in shown(kept())


def test_every_ledger_is_shown_with_its_loss() -> None:
    """Writes to a store may be lost when those of the client load are not."""
    stores = (LedgerResult("clients", 50, 50, (), 0.0), LedgerResult("odoo orders", 9, 6, (7, 8, 9), 3.0))
    record = replace(kept(), ledgers=(*stores, LedgerResult("n8n executions", 4, None, None, None)))
    for text in (words(first_page(record)), words(certificate(Entry(view_of(record)), "d")), shown(record)):
        assert "3 of 59 acknowledged" in text
        assert "clients: 0 of 50 lost, RPO 0 s" in text
        assert "odoo orders: 3 of 9 lost, RPO 3 s" in text
        assert "n8n executions: not measured, 4 acknowledged" in text


def test_what_stands_in_backticks_is_code_and_all_of_it_is_escaped() -> None:
    assert code('with `mode = "x"` <b>') == "with <code>mode = &#34;x&#34;</code> &lt;b&gt;"
    assert code("`<script>` and ` alone") == "<code>&lt;script&gt;</code> and ` alone"
