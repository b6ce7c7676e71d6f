"""The textfile for Prometheus, and the alert rules that read it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from harness.backup.status import unknown_status, write_gauges
from harness.evidence.report.view import view_of
from harness.notify.textfile import METRICS, write_textfile
from tests.records import a_record, kept

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "blackstart.rules.yaml"
LINE = re.compile(r"(?P<name>[a-z_]+)\{(?P<labels>.*)\} (?P<value>[0-9.]+)")


def samples(path: Path) -> dict[str, float]:
    """Return name and labels -> value; every line that is no comment must be a sample."""
    found = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            found[f"{match['name']}{{{match['labels']}}}"] = float(match["value"])
    return found


def labels(drill: str) -> str:
    return f'drill="{drill}",estate="shop",mode="drill",substrate="embedded"'


def test_the_last_outcome_of_each_drill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "blackstart.prom"
    write_textfile(path, view_of(kept()), 0)
    write_textfile(path, view_of(replace(a_record(), drill="another", finished="2026-05-02T02:00:00+00:00")), 2)
    found, one, two = samples(path), labels("a <drill>"), labels("another")
    assert found[f'blackstart_drill_verdict{{{one},verdict="KEPT"}}'] == 1
    assert found[f'blackstart_drill_verdict{{{one},verdict="BROKEN"}}'] == 0
    assert found[f'blackstart_drill_verdict{{{two},verdict="BROKEN"}}'] == 1
    assert found[f"blackstart_drill_rto_seconds{{{one}}}"] == 29.53
    assert found[f"blackstart_drill_rto_budget_seconds{{{one}}}"] == 180
    assert found[f"blackstart_drill_rpo_seconds{{{two}}}"] == 3
    assert found[f"blackstart_drill_exposure_seconds{{{two}}}"] == 60
    assert found[f"blackstart_drill_last_run_timestamp_seconds{{{one}}}"] == 1777600800
    assert found[f"blackstart_drill_backup_age_seconds{{{one}}}"] == 3600
    assert found[f"blackstart_drill_undelivered{{{two}}}"] == 2
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_bad_night_keeps_the_time_of_the_last_good_one(tmp_path: Path) -> None:
    path, one = tmp_path / "blackstart.prom", labels("a <drill>")
    write_textfile(path, view_of(kept()), 0)
    bad = replace(
        a_record(), verdict="UNKNOWN", rto_seconds=None, rpo_seconds=None, finished="2026-05-02T02:00:00+00:00"
    )
    write_textfile(path, view_of(bad), 0)
    found = samples(path)
    assert found[f"blackstart_drill_last_kept_timestamp_seconds{{{one}}}"] == 1777600800
    assert found[f"blackstart_drill_last_run_timestamp_seconds{{{one}}}"] == 1777687200
    assert not [name for name in found if name.startswith("blackstart_drill_rto_seconds")]
    assert sum(value for name, value in found.items() if name.startswith("blackstart_drill_verdict")) == 1


def test_names_with_quotes_and_newlines_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "blackstart.prom"
    for name in ('say "no"', "back\\slash", "a\u2028b", "two\nlines", 'x",verdict="KEPT'):
        write_textfile(path, view_of(replace(kept(), drill=name)), 0)
        write_textfile(path, view_of(replace(kept(), drill=name)), 0)
    runs = [line for line in path.read_text().split("\n") if line.startswith("blackstart_drill_last_run")]
    assert len(runs) == 5
    assert 'drill="say \\"no\\""' in path.read_text()
    assert 'drill="two\\\\nlines"' in path.read_text()  # shown as in every other output


def test_what_is_not_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "blackstart.prom"
    path.write_text('nonsense\nblackstart_drill_rto_seconds{drill="x"} many\nother_metric{a="b"} 1\n\xff')
    write_textfile(path, view_of(kept()), 0)
    assert {name.partition("{")[0] for name in samples(path)} <= set(METRICS)


def test_drills_that_end_at_the_same_time_lose_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "blackstart.prom"
    views = [view_of(replace(kept(), drill=f"drill {number}")) for number in range(12)]
    threads = [Thread(target=write_textfile, args=(path, view, 0)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([name for name in samples(path) if name.startswith("blackstart_drill_last_run")]) == 12


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    return found


def test_the_alert_rules_use_metrics_that_are_written(tmp_path: Path) -> None:
    write_gauges(tmp_path / "status.prom", "shop", unknown_status("no answer"))
    status = {name.partition("{")[0] for name in samples(tmp_path / "status.prom")}
    for rule in rules():
        assert rule["annotations"]["summary"]
        used = set(re.findall(r"blackstart_[a-z_]+", rule["expr"]))
        assert used
        assert used <= {*METRICS, *status}, rule["alert"]


def test_a_drill_that_has_not_run_lately_and_one_that_never_ran_ring() -> None:
    found = {rule["alert"]: rule["expr"] for rule in rules()}
    assert "blackstart_drill_last_run_timestamp_seconds" in found["BlackstartNotRunLately"]
    assert "time() -" in found["BlackstartNotRunLately"]
    assert found["BlackstartNeverRan"].startswith("absent(")


def test_alarms_of_the_status_ring_and_so_does_a_status_that_is_no_longer_written() -> None:
    """Yesterday's file says that there is no alarm."""
    found = {rule["alert"]: rule["expr"] for rule in rules()}
    assert found["BlackstartBackupAlarm"] == "blackstart_backup_alarms > 0"
    late = "time() - max by (estate) (blackstart_status_timestamp_seconds) > 3600"
    assert found["BlackstartStatusNotRunLately"] == late
