"""The report of a run of drills: first page, certificates, Allure's page and dashboard."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.record import NOBODY, DrillRecord
from harness.evidence.folder import read_record
from harness.evidence.format.record_file import sha256_of
from harness.evidence.report.allure import HISTORY, allure_page
from harness.evidence.report.pages import Entry, Link, Scenario, certificate, entry_of, overview
from harness.evidence.report.view import RecordView, view_of

DRILLS, PLAN, NOT_DRILLED = "drills.txt", "plan.json", "not-drilled.json"  # in the folder of a run
NOTED = "history-noted"  # marks a run that is in Allure's history
NAME = "blackstart: recovery drills"


def build_report(
    results: Path, out: Path, name: str = NAME, signed_off: Callable[[Path], str] = lambda _folder: NOBODY
) -> Path:
    """Build index.html, the certificates, allure.html and dashboard.html in `out`; return the first.

    `signed_off`: returns who signed off the record in a folder, in one line.
    Raises HarnessError without results, MissingPart, Unreadable for a damaged record.
    """
    if not any(results.glob("*-result.json")):
        raise HarnessError(f"{results}: no Allure results; run a drill first")
    out.mkdir(parents=True, exist_ok=True)
    run = results.parent
    found = records_of(run)
    noted = run / NOTED
    views = [view_of(record) for _, record in found]
    details = allure_page(results, out, name, views, run.parent / HISTORY, not noted.exists())
    noted.touch()
    entries = [
        with_certificate(record, folder, out, number, signed_off(folder))
        for number, (folder, record) in enumerate(found, 1)
    ]
    first = out / "index.html"
    others = without_record(scenarios_of(run, results), views)
    first.write_text(overview(entries, details.name, others, not_drilled_in(run)), encoding="utf-8")
    return first


def without_record(scenarios: Iterable[Scenario], views: Sequence[RecordView]) -> list[Scenario]:
    """Return the scenarios that no record stands for: also one that failed though its record is as expected."""
    stands = {view.drill: view.as_expected for view in views}
    return [one for one in scenarios if one.name not in stands or (stands[one.name] and not one.as_expected)]


def with_certificate(record: DrillRecord, folder: Path, out: Path, number: int, signed_off: str) -> Entry:
    """Write the certificate of a drill into `out`; return its entry, with a link to it."""
    entry = entry_of(record, folder, out, signed_off)
    page = out / f"certificate-{number}.html"
    page.write_text(certificate(entry, sha256_of(folder / "record.json")), encoding="utf-8")
    return replace(entry, links=(Link("certificate", page.name), *entry.links))


def note_drill(run: Path, folder: Path) -> None:
    """Add the record folder of a drill to the list in the folder of a test run."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / DRILLS).open("a", encoding="utf-8") as file:
        file.write(f"{folder}\n")


def records_of(run: Path) -> list[tuple[Path, DrillRecord]]:
    """Return folder and record of each drill of a test run, in order. Raises Unreadable."""
    noted = run / DRILLS
    names = noted.read_text(encoding="utf-8").split("\n") if noted.exists() else []
    folders = [Path(name) for name in dict.fromkeys(names) if name and (Path(name) / "record.json").exists()]
    return [(folder, read_record(folder)) for folder in folders]


def scenarios_of(run: Path, results: Path) -> Iterator[Scenario]:
    """Yield each scenario of the run with its status in Allure; one that was planned and has no result did not end."""
    ended = 0
    for path in sorted(results.glob("*-result.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if any(label.get("value") == "not drilled" for label in data.get("labels", [])):
            continue
        ended += 1
        yield Scenario(str(data.get("name", path.name)), str(data.get("status", "unknown")))
    planned = json.loads((run / PLAN).read_text(encoding="utf-8")) if (run / PLAN).exists() else []
    if len(planned) > ended:
        yield Scenario(f"{len(planned) - ended} planned scenarios have no result", "did not end")


def not_drilled_in(run: Path) -> tuple[str, ...]:
    """Return what the substrate of the run could not drill."""
    file = run / NOT_DRILLED
    return tuple(map(str, json.loads(file.read_text(encoding="utf-8")))) if file.exists() else ()
