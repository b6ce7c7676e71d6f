"""Allure 3: its configuration for a run of drills, and its page, changed for offline reading."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.errors import HarnessError
from harness.evidence.report.view import RecordView
from harness.parts.command import run
from harness.parts.programs import program
from harness.patience import PATIENCE

GTAG = re.compile(
    r'\s*<script async src="https://www\.googletagmanager\.com/gtag/js\?id=[^"]*"></script>\s*<script>.*?</script>',
    re.DOTALL,
)
# Allure 3 sometimes reads its data before the script with the data has run; the stub makes it wait.
STUB = "<script>window.allureReportData=window.allureReportData||{};window.allureReportDataReady=false;</script>"
CSP = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; "
    "frame-src data: blob:; base-uri 'self'\">"
)
META = '<meta charset="utf-8">'


def harden(html: str) -> str:
    """Return a single-file report whose CSP forbids requests. Raises HarnessError for an unexpected page."""
    head, found, rest = html.partition(META)
    if not found:
        raise HarnessError("Allure report: unexpected structure; pin Allure's version in the lock file")
    rest = GTAG.sub("", rest, count=1)
    if "googletagmanager" in rest:
        raise HarnessError("Allure report: contains an analytics script; pin Allure's version in the lock file")
    return head + META + CSP + STUB + rest


HISTORY = "allure-history.jsonl"  # beside the folders of runs
# Categories of scenarios that did not pass as they should, and of refusals; by the label `outcome` and by the status.
LABEL = "outcome"
CATEGORIES: tuple[Mapping[str, object], ...] = (
    {"name": "Kept", "matchers": {"labels": {LABEL: "^kept$"}}, "groupBy": [{"label": "control"}]},
    {"name": "Expected refusal", "matchers": {"labels": {LABEL: "^expected refusal$"}}},
    {"name": "Broken promise", "matchers": {"labels": {LABEL: "^broken$"}}, "groupBy": ["owner"], "expand": True},
    {"name": "Unknown: could not be judged", "matchers": {"labels": {LABEL: "^unknown$"}}, "expand": True},
    {"name": "Not drilled on this substrate", "matchers": {"labels": {LABEL: "^not drilled$"}}},
    {"name": "Failed without a record", "matchers": {"statuses": ["failed"]}, "expand": True},
    {"name": "Could not be carried out", "matchers": {"statuses": ["broken"]}, "expand": True},
)
HIDDEN = ("host", "thread", "package", "framework", "language", "parentSuite", "suite", "tag")


def outcome_of(view: RecordView) -> str:
    """Return the value of the label `outcome`: `kept`, `expected refusal`, `broken` or `unknown`."""
    return "expected refusal" if view.as_expected and view.verdict != "KEPT" else view.outcome


def allure_page(results: Path, out: Path, name: str, views: Sequence[RecordView], history: Path, note: bool) -> Path:
    """Write `allure.html` and `dashboard.html` into `out`; return the first. Raises HarnessError, MissingPart.

    `history`: the file of earlier runs; `note`: whether this run is added to it, once.
    """
    config, pages = out / "allurerc.json", out / "html"
    config.write_text(json.dumps(settings(name, pages, views, history, note=note), indent=1), encoding="utf-8")
    # Allure takes the path of the results for a pattern: its name alone is in it, and not the folders above.
    at = results.parent
    run(
        (program("node"), program("allure"), "generate", "--config", str(config), "--cwd", str(at), results.name),
        cwd=at,
        patience=PATIENCE.report,
    )
    for plugin, target in (("awesome", "allure.html"), ("dashboard", "dashboard.html")):
        page = pages / plugin / "index.html"
        if not page.is_file():
            raise HarnessError(f"{out}: Allure wrote no page of {plugin}; see its output")
        (out / target).write_text(harden(page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(pages)
    return out / "allure.html"


def settings(
    name: str, output: Path, views: Sequence[RecordView], history: Path, *, note: bool = True
) -> Mapping[str, object]:
    """Return Allure 3's configuration for self-contained pages, with the trend of RTO and RPO of each drill."""
    charts = (
        {"type": "currentStatus", "title": "Drills in this run"},
        {"type": "statusDynamics", "title": "Drills over time", "limit": 30},
        {"type": "statusTransitions", "title": "Changes between runs", "limit": 30},
    )
    shared = {"singleFile": True, "reportLanguage": "en"}
    awesome = {
        **shared,
        "groupBy": ["epic", "feature", "story"],
        "sections": ["charts", "timeline", "metrics"],
        "defaultSection": "",
        "charts": charts,
    }
    metrics = {
        metric_key(kind, view.drill): {
            "title": f"{kind.upper()}: {view.drill}",
            "unit": "s",
            "better": "lower",
            "group": kind,
        }
        for view in views
        for kind in ("rto", "rpo")
    }
    return {
        "name": name,
        "output": str(output),
        "historyPath": str(history),
        "appendHistory": note,
        "hideLabels": HIDDEN,
        "categories": {"rules": [{"groupByMessage": False, **rule} for rule in CATEGORIES]},
        "performance": {
            "groups": {"rto": {"title": "Recovery time (RTO)"}, "rpo": {"title": "Data loss (RPO)"}},
            "metrics": metrics,
        },
        "plugins": {
            "awesome": {"options": awesome},
            "dashboard": {"options": {**shared, "reportName": name, "layout": charts}},
        },
    }


def metric_key(kind: str, drill: str) -> str:
    """Return the key of a drill's metric: `rto` or `rpo`, and the drill in letters that a key may have."""
    return f"{kind}.{re.sub(r'[^a-z0-9]+', '-', drill.lower()).strip('-')}"
