"""Waterfall chart of the phases of a recovery, as SVG without scripts and fonts."""

from html import escape

from harness.core.record import DrillRecord

COLOURS = {"KEPT": "#2e7d4f", "BROKEN": "#b3261e", "UNKNOWN": "#8a6d00"}
WIDTH, LEFT, ROW, TOP = 860, 130, 26, 66  # LEFT: must be right of the longest verdict
PLOT = WIDTH - LEFT - 90


def waterfall(record: DrillRecord) -> str:
    """Return an SVG with one bar for each phase, in seconds from the fault."""
    total = record.rto or max((p.end for p in record.phases), default=0.0)
    scale = PLOT / total if total else 0.0
    height = TOP + ROW * max(1, len(record.phases)) + 34
    colour = COLOURS.get(record.verdict, "#555")
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="28" font-size="18" font-weight="600" fill="{colour}">{escape(record.verdict)}</text>',
        f'<text x="{LEFT}" y="28" fill="#222">{escape(headline(record))}</text>',
        f'<text x="{LEFT}" y="50" fill="#666" font-size="12">seconds after the fault</text>',
    ]
    for index, phase in enumerate(record.phases):
        y = TOP + index * ROW
        x, width = LEFT + phase.begin * scale, max(2.0, phase.took * scale)
        label_x = x + width + 6
        out.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end" fill="#333">{escape(phase.name)}</text>')
        out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="16" rx="2" fill="#3d6ea5"/>')
        out.append(f'<text x="{label_x:.1f}" y="{y + 15}" fill="#333">{phase.took:.1f} s</text>')
    base = TOP + ROW * max(1, len(record.phases)) + 6
    out.append(f'<line x1="{LEFT}" y1="{base}" x2="{LEFT + PLOT}" y2="{base}" stroke="#999"/>')
    for tick in range(5):
        x = LEFT + PLOT * tick / 4
        out.append(
            f'<text x="{x:.0f}" y="{base + 18}" text-anchor="middle" fill="#666" font-size="12">'
            f"{total * tick / 4:.0f}</text>"
        )
    return "\n".join([*out, "</svg>\n"])


def headline(record: DrillRecord) -> str:
    """Return one line with RTO and RPO against their budgets, and the number of lost writes."""
    rto, rpo = record.promise.get("rto_s", "?"), record.promise.get("rpo_s", "?")
    found = [
        f"RTO {figure(record.rto)} of {rto:g} s" if isinstance(rto, float | int) else "",
        f"RPO {figure(record.rpo)} of {rpo:g} s" if isinstance(rpo, float | int) else "",
        f"{len(record.lost)} of {record.acknowledged} acknowledged writes lost",
    ]
    return " · ".join(part for part in found if part)


def figure(value: float | None) -> str:
    """Return seconds with one decimal and unit, `not measured` for None."""
    return "not measured" if value is None else f"{value:.1f} s"
