"""The section of `docs/BENCHMARKS.md` about physical backups beside other tools, and its picture."""

from __future__ import annotations

from statistics import median

from jinja2 import Environment

from benchmarks.rows import ROOT, Rows, spread, table

OURS = "blackstart"
PICTURE = ROOT / "docs/pictures/repository.svg"
WIDEST = 0.25  # spread of the ratios of a side, over which it is no result
WORK = ("full", "restore and start", "incremental", "WAL", "verify")
LEAST_SHARE = 0.02
# What was tried, for whoever wants to make it quicker.
ABOUT_PROFILE = """
On two processors a restore is bound by processor time: with the store's own work its stages keep about 1.7 of them
busy. Three connections ask the store, two threads decompress, one compares the SHA-256 of the whole with the signed
manifest, one writes; each is outside of Python's lock for most of its time. A fifth of the time is the start of the
command. The pipe of C programs, which authenticates and verifies nothing, is 1.15 times as quick as pgBackRest, so 1.5
times is out of reach of this design. Tried without a gain: files written by three threads in place of one (the same
wall time, a tenth more processor time), frames joined at once in place of a buffer that grows, imports without the
garbage collector (0.05 s).
""".strip().split("\n")
BAR, LINE, LEFT = 420, 22, 230  # of the picture, pixels
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {{ height }}" font-family="sans-serif" font-size="13">
<rect width="800" height="{{ height }}" fill="#ffffff"/>
{% for bar in bars -%}
<text x="{{ left - 8 }}" y="{{ bar.y + 15 }}" text-anchor="end" fill="#1f2328">{{ bar.name }}</text>
<rect x="{{ left }}" y="{{ bar.y + 3 }}" width="{{ bar.width }}" height="15" fill="{{ bar.colour }}"/>
<text x="{{ left + bar.width + 6 }}" y="{{ bar.y + 15 }}" fill="#1f2328">{{ bar.text }}</text>
{% endfor -%}
</svg>
"""


def repository(rows: Rows) -> list[str]:
    """Return the section, from the newest run of each size and number of processors, and write its picture."""
    lines: list[str] = []
    good = [row for row in rows if row["code"] == 0]
    for processors, gigabytes in sorted({(row["processors"], row["gigabytes"]) for row in good}):
        of = [row for row in good if (row["processors"], row["gigabytes"]) == (processors, gigabytes)]
        commit = of[-1]["commit"]
        here = [row for row in of if row["commit"] == commit]
        lines += [
            "",
            f"## Physical backups beside other tools, {gigabytes:g} GB, {processors} processors, {commit}",
            "",
        ]
        lines += table(
            ["", "", "wall, s", "CPU, s", "with server and store, s", "memory, MiB", "stored, MB", "speed against it"],
            [line for what in WORK for line in _of(here, what)],
        )
        lines += [
            "",
            f"A ratio is of the same round; over {WIDEST:.0%} of spread it is no result and stands in brackets.",
        ]
        _draw(here)
    return [*lines, "", "![wall time by side](pictures/repository.svg)"] if lines else []


def _sides(rows: Rows, what: str) -> dict[str, dict[int, dict[str, float]]]:
    """Return, by side and round, what a work took; `restore and start` is the sum of both."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        if row["what"] in what.split(" and "):
            own = found.setdefault(row["side"], {}).setdefault(row["round"], {})
            for name in ("wall", "cpu", "stored"):
                own[name] = own.get(name, 0) + row[name]
            own["all"] = own.get("all", 0) + row["cpu"] + row["server_cpu"] + row["store_cpu"]
            own["memory"] = max(own.get("memory", 0), row["memory"])
            own["parts"] = own.get("parts", 0) + 1
    whole = len(what.split(" and "))
    return {side: {n: one for n, one in own.items() if one["parts"] == whole} for side, own in found.items()}


def _of(rows: Rows, what: str) -> list[list[str]]:
    found, lines = _sides(rows, what), []
    for side, own in found.items():
        runs = list(own.values())
        ratios = [one["wall"] / found[OURS][n]["wall"] for n, one in own.items() if n in found.get(OURS, {})]
        speed = spread(ratios, 2) if side != OURS and ratios else ""
        if speed and max(ratios) - min(ratios) > WIDEST * median(ratios):
            speed = f"({speed})"
        figures = [spread(one[name] for one in runs) for name in ("wall", "cpu", "all")]
        memory, stored = f"{max(one['memory'] for one in runs):.0f}", median(one["stored"] for one in runs) / 1e6
        lines.append([what, side, *figures, memory, f"{stored:.0f}" if stored else "", speed])
    return lines


def _draw(rows: Rows) -> None:
    walls = [
        (what, side, median(one["wall"] for one in own.values()))
        for what in WORK
        for side, own in _sides(rows, what).items()
        if own
    ]
    widest = max(wall for _, _, wall in walls)
    bars = [
        {
            "name": f"{what}, {side}",
            "y": 8 + number * LINE,
            "width": round(BAR * wall / widest, 1),
            "colour": "#1a7f37" if side == OURS else "#8c959f",
            "text": f"{wall:.1f} s",
        }
        for number, (what, side, wall) in enumerate(walls)
    ]
    template = Environment(autoescape=True).from_string(SVG)
    PICTURE.write_text(template.render(bars=bars, left=LEFT, height=16 + LINE * len(bars)), encoding="utf-8")


def museum(rows: Rows) -> list[str]:
    """Return the section of what other programs say of damaged backups."""
    if not rows:
        return []
    good = sum(row["code"] == 0 for row in rows)
    lines = ["", "## What other programs say of damaged backups", ""]
    lines += [
        f"{good} of {len(rows)} are accepted with exit code 0. `make unit` has what blackstart says (`tests/museum`).",
        "",
    ]
    body = [[row["tool"], row["damage"], str(row["code"]), row["said"].replace("|", "/")] for row in rows]
    return lines + table(["program", "damage", "exit code", "its last line"], body)


def profile(rows: Rows) -> list[str]:
    """Return the section of where a restore's processor time goes: the newest of each side."""
    newest = {row["side"]: row for row in rows}
    body = [
        [side, f"{row['gigabytes']:g} GB, {row['commit']}", f"{row['seconds']:.1f}", what, f"{share:.0%}"]
        for side, row in newest.items()
        for what, share in row["shares"].items()
        if share >= LEAST_SHARE
    ]
    head = ["", "", "CPU, s", "of it", "share"]
    return ["", "## What bounds a physical restore", "", *ABOUT_PROFILE, "", *table(head, body)] if body else []
