"""First page of the report: one card for each drill, in HTML with inline SVG, without scripts and requests."""

from collections.abc import Sequence
from html import escape

from harness.core.record import DrillRecord
from harness.evidence.report.waterfall import COLOURS, figure, waterfall

LONG = 8  # lines of a list that is shown open
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #f4f5f7; margin: 0; }
main { max-width: 980px; margin: 0 auto; padding: 24px; }
article { background: #fff; border: 1px solid #d9dce1; border-radius: 8px; padding: 20px 24px; margin: 20px 0; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin: 0 0 4px; }
.verdict { color: #fff; border-radius: 4px; padding: 2px 10px; font-weight: 600; margin-right: 10px; }
table { border-collapse: collapse; margin: 12px 0; } td, th { padding: 3px 18px 3px 0; text-align: left; }
th { color: #666; font-weight: 500; } svg { max-width: 100%; height: auto; } .dim { color: #666; }
"""


def overview(records: Sequence[DrillRecord], details: str) -> str:
    """Return the page as HTML. `details`: the file name of the page with every step."""
    counts = ", ".join(f"{n} {v}" for v in COLOURS if (n := sum(r.verdict == v for r in records)))
    cards = "\n".join(card(record) for record in records) or "<p>This run has no drill records.</p>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>blackstart: recovery drills</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Recovery drills: {escape(counts or 'none judged')}</h1>"
        f'<p><a href="{escape(details)}">Every scenario, step and attachment</a> (Allure). '
        "A scenario that shows a refusal passes when its drill is judged BROKEN or UNKNOWN for the expected reason.</p>"
        f"{cards}</main></body></html>\n"
    )


def card(record: DrillRecord) -> str:
    """Return the HTML of one drill: verdict, achieved and promised values, reasons, phases, what was not drilled."""
    promise = record.promise
    rows = (
        ("RTO", figure(record.rto), f"{promise.get('rto_s', '?')} s"),
        ("RPO", figure(record.rpo), f"{promise.get('rpo_s', '?')} s"),
        ("exposure", figure(record.exposure), f"{promise.get('exposure_s', '?')} s"),
        ("writes lost", str(len(record.lost)), f"of {record.acknowledged} acknowledged"),
        ("backup", str(record.backup.get("id", "none")), f"{len(record.passed_over)} passed over"),
        ("measured at", f"{record.data_bytes / 1e6:,.0f} MB", f"{record.data_rows:,} rows"),
    )
    table = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    colour = COLOURS.get(record.verdict, "#555")
    return (
        f'<article><h2><span class="verdict" style="background:{colour}">{escape(record.verdict)}</span>'
        f'{escape(record.drill)}</h2><p class="dim">{escape(record.objective)}</p>'
        f"<table><tr><th></th><th>achieved</th><th>promised</th></tr>{table}</table>"
        f"{_listed(record.reasons)}{waterfall(record) if record.phases else ''}"
        f"{_listed([f'{backup}: {why}' for backup, why in record.passed_over], 'Backups passed over:')}"
        f"{_listed([', '.join(map(str, record.diverged))] if record.diverged else [], 'Only on the old primary:')}"
        f"{_listed(record.covered, 'Covered by the backup:')}"
        f"{_listed(record.uncovered, 'Not covered by the backup:')}"
        f"{_listed(record.excluded, 'Excluded from backups:')}"
        f"{_listed(record.lost_objects, 'Referenced, and not on the DR site:')}"
        f"{_listed(record.not_compared, 'In the backup, and not compared after the restore:')}"
        f"{_listed(record.assertions, 'Assertions on the restored databases:')}"
        f"{_listed(record.not_drilled, 'Not drilled:')}"
        f'<p class="dim">{escape(record.started)}, by {escape(record.initiator)}, on {escape(record.substrate)}, '
        f"promise “{escape(str(promise.get('name', '')))}” of {escape(str(promise.get('owner', '')))}</p></article>"
    )


def _listed(lines: Sequence[str], heading: str = "") -> str:
    """Return a list with its heading; a long one is closed until it is clicked."""
    if not lines:
        return ""
    items = f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in lines)}</ul>"
    if heading and len(lines) > LONG:
        return f"<details><summary>{escape(heading)} {len(lines)}</summary>{items}</details>"
    return f"<p>{escape(heading)}</p>" * bool(heading) + items
