"""Five nights in `nights/`: Allure shows one history, and the trend of RTO and RPO. Rendered by Allure itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.evidence.report.allure import HISTORY
from harness.evidence.report.build import build_report

NIGHTS = Path(__file__).parent / "nights"
RTOS = [31.2, 29.4, 33.8, 27.9, 26.5]
KEY = "rto.the-site-is-lost"
pytestmark = [pytest.mark.night, pytest.mark.programs]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the five nights in order, the last one twice; return the folder of runs."""
    folder = tmp_path_factory.mktemp("runs")
    for night in sorted(NIGHTS.iterdir()):
        shutil.copytree(night, folder / night.name / "allure-results")
        build_report(folder / night.name / "allure-results", folder / night.name / "report")
    build_report(folder / "night-5" / "allure-results", folder / "night-5" / "report")
    return folder


def history(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (runs / HISTORY).read_text().splitlines()]


def test_every_night_is_one_point_of_the_history(runs: Path) -> None:
    points = history(runs)
    assert len(points) == len(RTOS)
    ids = [{one["historyId"] for one in point["testResults"].values()} for point in points]
    assert all(found == ids[0] for found in ids)


def test_the_trend_of_the_rto_is_there(runs: Path) -> None:
    assert [rto for point in history(runs) for rto in rtos_in(point)] == RTOS


def rtos_in(point: object) -> list[float]:
    """Return the values of the metric in one point of the history, wherever Allure keeps it."""
    if isinstance(point, dict):
        if point.get("key") == KEY or KEY in point:
            found = point.get(KEY, point)
            value: Any = found.get("value", found.get("avg", -1)) if isinstance(found, dict) else found
            return [float(value)]
        return [value for inner in point.values() for value in rtos_in(inner)]
    return [value for inner in point for value in rtos_in(inner)] if isinstance(point, list) else []


def test_the_pages_are_safe_for_offline_reading(runs: Path) -> None:
    report = runs / "night-5" / "report"
    for name in ("allure.html", "dashboard.html"):
        page = (report / name).read_text(encoding="utf-8")
        assert "googletagmanager" not in page
        assert "Content-Security-Policy" in page
    assert "all 3 as expected" in (report / "index.html").read_text(encoding="utf-8")
