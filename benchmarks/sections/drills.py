"""Sections about drills as a whole."""

from __future__ import annotations

from benchmarks.rows import Rows, of_newest_day, spread, table

SUBSTRATES = ("embedded", "embedded,cold", "embedded,warm", "docker", "kind", "kind,cold")
# The way back from DR to the primary: what `pytest -k` selects of `features/estate/failback.feature`.
BACK = {"embedded: back from a backup": "example and rebuilt", "embedded,warm: back by a rewind": "example and rewound"}
FIGURES = {"whole drill, s": "wall", "RTO, s": "rto", "RPO, s": "rpo", "peak memory, MiB": "memory"}
PAIR = {
    "both ready, s": "ready",
    "and the images in both, s": "images",
    "one killed and its volumes removed, s": "lost",
    "the rest swept, s": "swept",
}


def site_loss(rows: Rows) -> list[str]:
    """Return the section of what a lost site costs, by number of processors, substrate and strategy: its newest day."""
    lines: list[str] = []
    for processors in sorted({row["processors"] for row in rows}):
        here = [row for row in rows if row["processors"] == processors]
        of = {s: of_newest_day([row for row in here if row["substrate"] == s]) for s in (*SUBSTRATES, *BACK)}
        shown = [s for s in of if of[s]]
        longest = sorted((row for s in shown for row in of[s]), key=lambda row: -len(row["phases"]))
        kept = [f"{sum(r['verdict'] == 'KEPT' for r in of[s])} of {len(of[s])}" for s in shown]
        body = [["day", *(of[s][0]["at"][:10] for s in shown)], ["KEPT", *kept]]
        for what, key in FIGURES.items():
            body.append([what, *(spread(r[key] for r in of[s]) for s in shown)])
        for phase in dict.fromkeys(phase for row in longest for phase in row["phases"]):
            body.append([f"of RTO: {phase}, s", *(spread(r["phases"].get(phase) for r in of[s]) for s in shown)])
        lines += ["", f"## Site loss, example estate (200 MB of bulk), {processors} processors", ""]
        lines += table(["", *shown], body)
    return lines


def big_estate(rows: Rows) -> list[str]:
    """Return the section of a lost site with a large database, restored from a base backup and from dumps."""
    body = []
    newest = {row["megabytes"]: row["commit"] for row in rows}
    for megabytes, commit in newest.items():
        here = [row for row in rows if (row["megabytes"], row["commit"]) == (megabytes, commit)]
        of = {mode: [row for row in here if row["mode"] == mode] for mode in {row["mode"]: 0 for row in here}}
        for mode, runs in of.items():
            phases = [spread(row["phases"].get(name) for row in runs) for name in ("open", "restore", "db")]
            pairs = zip(of.get("physical", []), runs, strict=False)
            times = [b["rto"] / a["rto"] for a, b in pairs if a["rto"] and b["rto"] and a is not b]
            body.append(
                [f"{megabytes} MB, {commit}", mode, spread(row["rto"] for row in runs), *phases, spread(times, 2)]
            )
    head = ["bulk database", "mode", "RTO, s", "of it: open, s", "restore, s", "db, s", "physical is quicker, times"]
    about = "From the strike until every key function holds, embedded; the ways take turns."
    if any(row["mode"] not in ("physical", "logical") for row in rows):
        about += " `before base backups`: the version of 0d3e3ec, whose only way was a dump."
    return ["", "## Site loss with a large database", "", about, "", *table(head, body)] if body else []


def clusters(rows: Rows) -> list[str]:
    """Return the section of what a pair of clusters takes, by number of processors."""
    lines: list[str] = []
    for processors in sorted({row["processors"] for row in rows}):
        here = [row for row in rows if row["processors"] == processors]
        body = [[what, spread(row[key] for row in here)] for what, key in PAIR.items()]
        lines += ["", f"## A pair of clusters of kind, {processors} processors, {len(here)} runs", ""]
        lines += table(["", "seconds"], body)
    return lines


def leftovers(rows: Rows) -> list[str]:
    """Return the section of what drills leave behind: the newest of each ending."""
    newest = {(row["substrate"], row["ending"]): row for row in rows}
    body = []
    for (substrate, ending), row in newest.items():
        amid = ", ".join(f"{number} {what}" for what, number in row["amid"].items() if number)
        left = "; ".join(f"{what}: {', '.join(names)}" for what, names in row["left"].items() if names)
        body.append([substrate, ending, str(row["code"]), amid, row["swept"], left or "nothing"])
    head = ["substrate", "how it ended", "exit code", "there in the middle", "said by the sweep", "left"]
    return ["", "## What a drill leaves behind", "", *table(head, body)] if body else []


def ci(rows: Rows) -> list[str]:
    """Return the section of what CI takes as a whole: every run that was green."""
    body = []
    for row in rows:
        if row["code"] == 0:
            caches = "empty" if row["cold"] else "warm"
            steps = ", ".join(f"{step.removeprefix('make ')} {seconds}" for step, seconds in row["steps"].items())
            body.append([row["commit"], str(row["processors"]), caches, f"{row['seconds'] / 60:.1f}", steps])
    head = ["commit", "processors", "caches", "all, min", "its steps, s"]
    return ["", "## CI as a whole, `.ci/run`, in two lanes at once", "", *table(head, body)] if body else []


def versions(rows: Rows) -> list[str]:
    """Return the section of `make drill` of two versions, run in pairs."""
    order = list(dict.fromkeys(row["version"] for row in rows))
    body = []
    for version in order:
        of = [row for row in rows if row["version"] == version]
        kept = f"{sum(row['code'] == 0 for row in of)} of {len(of)}"
        body.append([version, kept, spread(row["wall"] for row in of)])
    head = ["commit", "exit code 0", "seconds"]
    return ["", "## `make drill` of two versions, in pairs", "", *table(head, body)] if body else []
