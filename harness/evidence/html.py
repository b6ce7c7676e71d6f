"""The HTML report: Allure 3 from raw results, then made fit to be read offline."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.record import DrillRecord
from harness.evidence.folder import read_record
from harness.evidence.overview import overview
from harness.parts.command import run
from harness.parts.programs import program
from harness.patience import PATIENCE

GTAG = re.compile(
    r'\s*<script async src="https://www\.googletagmanager\.com/gtag/js\?id=[^"]*"></script>\s*<script>.*?</script>',
    re.DOTALL,
)
# Allure 3 reads its data before the script that holds it has run, now and then; the stub makes it wait.
STUB = "<script>window.allureReportData=window.allureReportData||{};window.allureReportDataReady=false;</script>"
CSP = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; "
    "frame-src data: blob:; base-uri 'self'\">"
)
DRILLS = "drills.txt"
META = '<meta charset="utf-8">'


def harden(html: str) -> str:
    """Return a single-file Allure report without analytics and with a policy that lets nothing out.

    Raises HarnessError when the page is not laid out as expected, so that nothing is let through unseen.
    """
    head, found, rest = html.partition(META)
    if not found:
        raise HarnessError("the Allure report is not laid out as expected; pin the version in the lock file")
    rest = GTAG.sub("", rest, count=1)
    if "googletagmanager" in rest:
        raise HarnessError("the Allure report still holds an analytics script; pin the version in the lock file")
    return head + META + CSP + STUB + rest


def build_report(results: Path, out: Path, name: str = "blackstart: recovery drills") -> Path:
    """Render the raw results in `results` into `out`, and return its first page.

    `index.html` has a card for each drill, `allure.html` every step; both open without a network. Raises
    HarnessError when there are no results, MissingPart when Node or Allure is not installed.
    """
    if not any(results.glob("*-result.json")):
        raise HarnessError(f"{results}: no Allure results there; run a drill first")
    out.mkdir(parents=True, exist_ok=True)
    config = out / "allurerc.json"
    config.write_text(json.dumps(settings(name, out / "html")), encoding="utf-8")
    run(
        (program("node"), program("allure"), "generate", "--config", str(config), "--cwd", str(out), str(results)),
        cwd=out,
        patience=PATIENCE.report,
    )
    pages = sorted((out / "html").rglob("index.html"))
    if not pages:
        raise HarnessError(f"{out}: Allure wrote no page; look at its output")
    details = out / "allure.html"
    details.write_text(harden(pages[0].read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(out / "html")
    first = out / "index.html"
    first.write_text(overview(records_of(results.parent), details.name), encoding="utf-8")
    return first


def note_drill(run: Path, folder: Path) -> None:
    """Note in the folder of a run that a drill left its record there."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / DRILLS).open("a", encoding="utf-8") as file:
        file.write(f"{folder}\n")


def records_of(run: Path) -> list[DrillRecord]:
    """Return the records that the drills of a run left, in order."""
    noted = run / DRILLS
    folders = noted.read_text(encoding="utf-8").split("\n") if noted.exists() else []
    return [read_record(Path(f)) for f in folders if f and (Path(f) / "record.json").exists()]


def settings(name: str, output: Path) -> dict[str, object]:
    """Return Allure 3's configuration for one self-contained page."""
    return {
        "name": name,
        "output": str(output),
        "plugins": {
            "awesome": {
                "options": {
                    "singleFile": True,
                    "reportLanguage": "en",
                    "theme": "light",
                    "groupBy": ["epic", "feature", "story"],
                }
            }
        },
    }
