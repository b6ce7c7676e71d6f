"""Textfile for Prometheus' node exporter: the last outcome of each drill. Written whole, never in part.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text-based format).
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from harness.core.judge import Verdict
from harness.evidence.report.view import RecordView
from harness.regular_file import replace_file

LARGEST = 4_000_000  # bytes; a larger file is not ours and is replaced
SAMPLE = re.compile(r'(?P<name>blackstart_[a-z_]+)\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+)\} (?P<value>\S+)')
READABLE = 0o644  # the node exporter runs as another user
KEPT_AT = "blackstart_drill_last_kept_timestamp_seconds"
# Each metric with its help, in the order of the file. All are gauges.
METRICS = {
    "blackstart_drill_verdict": "1 for the last verdict of the drill, 0 for the others.",
    "blackstart_drill_as_expected": "Whether the last outcome was the one that the drill expects.",
    "blackstart_drill_rto_seconds": "Measured recovery time of the last run; absent when it was not measured.",
    "blackstart_drill_rto_budget_seconds": "Promised recovery time.",
    "blackstart_drill_rpo_seconds": "Measured data loss of the last run; absent when it was not measured.",
    "blackstart_drill_rpo_budget_seconds": "Promised limit of the data loss.",
    "blackstart_drill_exposure_seconds": "Largest gap between valid backups; absent when it was not measured.",
    "blackstart_drill_exposure_budget_seconds": "Promised limit of the exposure.",
    "blackstart_drill_backup_age_seconds": "Age of the newest valid backup when the drill ended.",
    "blackstart_drill_backup_timestamp_seconds": "Time of the newest valid backup's snapshot.",
    "blackstart_drill_last_run_timestamp_seconds": "Time at which the drill last ended.",
    KEPT_AT: "Time at which the drill last ended as expected.",
    "blackstart_drill_undelivered": "Messages about the last outcome that could not be delivered.",
}


def write_textfile(path: Path, view: RecordView, undelivered: int) -> None:
    """Replace the samples of a drill in the textfile, atomically; those of other drills stay. Raises OSError."""
    ours = ",".join(f'{name}="{escaped(value)}"' for name, value in _labels(view))
    with _locked(path.parent):
        before = list(_read(path))
        stay = [(n, labels, value) for n, labels, value in before if _drill(labels) != ours or n == KEPT_AT]
        fresh = list(samples(view, undelivered, ours))
        written = {(name, labels) for name, labels, _ in fresh}
        text = text_of([*(one for one in stay if one[:2] not in written), *fresh])
        replace_file(path, text.encode(), READABLE)


def samples(view: RecordView, undelivered: int, labels: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, labels and value of each sample of one outcome."""
    for verdict in Verdict:
        named = f'{labels},verdict="{verdict}"'
        yield "blackstart_drill_verdict", named, str(int(view.verdict == verdict))
    values: dict[str, float | None] = {"as_expected": int(view.as_expected), "undelivered": undelivered}
    for name, one in (("rto", view.rto), ("rpo", view.rpo), ("exposure", view.exposure)):
        values |= {f"{name}_seconds": one.measured, f"{name}_budget_seconds": one.budget}
    ended, backup = _moment(view.finished), _moment(view.snapshot_at)
    values["last_run_timestamp_seconds"] = ended
    values["last_kept_timestamp_seconds"] = ended if view.as_expected else None
    values["backup_timestamp_seconds"] = backup
    values["backup_age_seconds"] = ended - backup if ended is not None and backup is not None else None
    for name, value in values.items():
        if value is not None:
            yield f"blackstart_drill_{name}", labels, f"{value:.3f}".rstrip("0").rstrip(".")


def text_of(found: Iterable[tuple[str, str, str]]) -> str:
    """Return the file: each metric once, with its help and type, samples sorted."""
    rows = sorted(found)
    lines = []
    for name, said in METRICS.items():
        if here := [f"{name}{{{labels}}} {value}" for metric, labels, value in rows if metric == name]:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge", *here]
    return "\n".join([*lines, ""])


def escaped(value: str) -> str:
    """Return a label value as the format wants it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(view: RecordView) -> tuple[tuple[str, str], ...]:
    return ("drill", view.drill), ("estate", view.estate), ("mode", view.mode), ("substrate", view.substrate)


def _drill(labels: str) -> str:
    return re.sub(r',verdict="[A-Z]+"$', "", labels)


def _moment(wall: str) -> float | None:
    try:
        return datetime.fromisoformat(wall).timestamp()
    except ValueError:
        return None


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the samples of the file; lines that are not ours are dropped."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if (found := SAMPLE.fullmatch(line)) and found["name"] in METRICS and _number(found["value"]):
            yield found["name"], found["labels"], found["value"]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder: two drills that end at once do not lose each other's samples."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
