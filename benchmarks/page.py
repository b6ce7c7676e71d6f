"""`docs/BENCHMARKS.md`, written from all rows of `results/`: `python -m benchmarks.page`."""

from __future__ import annotations

from collections import Counter

from benchmarks.repository.table import museum, repository
from benchmarks.rows import ROOT, Rows, rows_of, spread, table

PAGE = ROOT / "docs/BENCHMARKS.md"
SUBSTRATES = ("embedded", "embedded,cold", "embedded,warm", "docker", "kind", "kind,cold")
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
        of = {s: of_newest_day([row for row in here if row["substrate"] == s]) for s in SUBSTRATES}
        shown = [s for s in SUBSTRATES if of[s]]
        kept = [f"{sum(r['verdict'] == 'KEPT' for r in of[s])} of {len(of[s])}" for s in shown]
        body = [["day", *(of[s][0]["at"][:10] for s in shown)], ["KEPT", *kept]]
        for what, key in FIGURES.items():
            body.append([what, *(spread(r[key] for r in of[s]) for s in shown)])
        for phase in here[0]["phases"]:
            body.append([f"of RTO: {phase}, s", *(spread(r["phases"].get(phase) for r in of[s]) for s in shown)])
        lines += ["", f"## Site loss, example estate (200 MB of bulk), {processors} processors", ""]
        lines += table(["", *shown], body)
    return lines


def of_newest_day(rows: Rows) -> Rows:
    """Return the rows of the newest day among them."""
    newest = max((row["at"][:10] for row in rows), default="")
    return [row for row in rows if row["at"].startswith(newest)]


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


def logical(rows: Rows) -> list[str]:
    """Return the section of a logical backup beside pipes of standard programs, run in the same rounds."""
    body = []
    for size in sorted({row["megabytes"] for row in rows}):
        here = [row for row in rows if row["megabytes"] == size]
        ours = {(row["at"][:10], row["round"]): row["wall"] for row in here if row["what"] == "backup"}
        for what in dict.fromkeys(row["what"] for row in here):
            of = [row for row in here if row["what"] == what]
            pairs = [ours[key] / row["wall"] for row in of if (key := (row["at"][:10], row["round"])) in ours]
            speed = "" if what == "backup" else spread(1 / pair for pair in pairs)
            stored = f"{of[-1]['stored'] / 1e6:.0f}"
            body.append(
                [f"{size} MB", what, spread(r["wall"] for r in of), spread(r["cpu"] for r in of), stored, speed]
            )
    head = ["database", "", "wall, s", "CPU of the side, s", "stored, MB", "speed of the backup against it"]
    return ["", "## A logical backup beside pipes", "", *table(head, body)] if body else []


def start(rows: Rows) -> list[str]:
    """Return the section of how long the command line takes to start: the newest of each, by number of processors."""
    newest = {(row["processors"], row["what"]): row for row in rows}
    body = [
        [what, str(processors), row["commit"], spread(row["walls"], 2), spread(row["cpus"], 2), str(row["load"])]
        for (processors, what), row in newest.items()
    ]
    head = ["", "processors", "commit", "wall, s", "CPU, s", "load before"]
    return ["", "## Start of the command line", "", *table(head, body)] if body else []


def mutants(rows: Rows) -> list[str]:
    """Return the section of the guards, oracles and injections that were taken away one at a time."""
    body = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        counts = Counter(row["outcome"] for row in rows if row["kind"] == kind)
        killed, survived = counts.pop("killed", 0), counts.pop("survived", 0)
        able = killed + survived + counts["not tried yet"] + counts["out of time"]
        rate = f"{killed / able:.1%}" if able else "-"
        left = "; ".join(f"{number} {reason}" for reason, number in counts.items())
        body.append([kind, str(killed), str(survived), rate, left])
    head = ["taken away", "noticed by a test", "survived", "noticed, of all that can run", "not run"]
    survivors = [f"- {row['kind']}: `{row['name']}`" for row in rows if row["outcome"] == "survived"]
    lines = [
        "",
        "## Guards, oracles and injections taken away one at a time",
        "",
        *table(head, body),
    ]
    return lines + (["", "Survivors:", "", *survivors] if survivors else []) if body else []


def kill_matrix(rows: Rows) -> list[str]:
    """Return the section of the runs that were killed before and after each change."""
    body = []
    for work in dict.fromkeys(row["work"] for row in rows):
        of = [row for row in rows if row["work"] == work]
        changes = len({row["mutation"].split()[0] for row in of})
        moments = Counter(row["moment"] for row in of)
        verdicts = Counter(row["verdict"] or "no record yet" for row in of)
        body.append(
            [
                work,
                str(changes),
                f"{moments['before']} before, {moments['after']} after",
                f"{sum(row['found'] for row in of)}",
                f"{sum(row['residue'] for row in of)}",
                ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()),
            ]
        )
    head = [
        "killed",
        "changes",
        "kills",
        "there after the kills",
        "left after the sweeps",
        "verdict of the record",
    ]
    return ["", "## Killed before and after every change, then swept", "", *table(head, body)] if body else []


def store_kills(rows: Rows) -> list[str]:
    """Return the section of the commands that were killed before and after their calls to the object store."""
    body = []
    for work in dict.fromkeys(row["work"] for row in rows):
        of = [row for row in rows if row["work"] == work]
        moments = Counter(row["moment"] for row in of)
        again, restored = ([row[what] for row in of if row[what]] for what in ("again", "restored"))
        body.append(
            [
                work,
                str(len({row["mutation"].split()[0] for row in of})),
                f"{moments['before']} before, {moments['after']} after",
                str(sum(row["listed"][1] > row["listed"][0] for row in of)),
                str(sum(row["reaped"] for row in of)),
                str(sum(len(row["wrong"]) for row in of)),
                str(sum(len(row["left"]) for row in of)),
                f"{again.count('done')} of {len(again)}" if again else "-",
                f"{restored.count('done')} of {len(restored)}" if restored else "-",
            ]
        )
    head = [
        "killed",
        "calls",
        "kills",
        "listed more then",
        "reaped",
        "findings of `verify --all`",
        "left after the reaper",
    ]
    head += ["run again", "restored"]
    about = "Killed by SIGKILL; the store is real and keeps versions. Not every call that only reads has a row yet."
    lines = ["", "## Killed before and after each call to the object store", "", about, ""]
    return [*lines, *table(head, body)] if body else []


def far_store(rows: Rows) -> list[str]:
    """Return the section of a store that is far away and overloaded, beside itself without that."""
    body = []
    of_day = of_newest_day(rows)
    walls = {(row["round"], row["side"], row["direction"]): row["wall"] for row in of_day}
    for direction in dict.fromkeys(row["direction"] for row in of_day):
        for side in dict.fromkeys(row["side"] for row in of_day):
            of = [row for row in of_day if (row["side"], row["direction"]) == (side, direction)]
            times = [row["wall"] / walls[row["round"], "clean", direction] for row in of] if side != "clean" else []
            calls = f"{sum(row['calls'] for row in of)}, {sum(row['refused'] for row in of)}"
            memory = str(max(row["memory"] for row in of))
            body.append([direction, side, spread(row["wall"] for row in of), calls, memory, spread(times, 2)])
    head = [
        "direction",
        "store",
        "wall, s",
        "calls, of them refused",
        "memory, MiB",
        "times the clean run of its round",
    ]
    about = "The same store through the same proxy; far: 50 ms before each answer, every hundredth call refused (503)."
    return ["", "## A store that is far away and overloaded", "", about, "", *table(head, body)] if body else []


def quick_verify(rows: Rows) -> list[str]:
    """Return the section of `verify --quick` over many backups and segments: the newest day."""
    body = [
        [
            *(str(row[name]) for name in ("backups", "segments", "batch")),
            spread(row["walls"], 2),
            spread(row["cpus"], 2),
            str(row["load"]),
        ]
        for row in of_newest_day(rows)
    ]
    head = ["backups", "segments of WAL", "segments in a list", "wall, s", "CPU, s", "load before"]
    about = "The whole command, on a store of this machine. A list is one request; it names 64 segments at most."
    return ["", "## `blackstart verify --quick`", "", about, "", *table(head, body)] if body else []


def tenants(rows: Rows) -> list[str]:
    """Return the section of a server with many databases or tables: every run."""
    body = [
        [
            *(str(row[name]) for name in ("databases", "megabytes")),
            str(row.get("tables", 0) or ""),
            *(str(row[name]) for name in ("wall", "connections")),
            str(row.get("restore", 0) or ""),
            *(str(row["peak_mib"]), f"{row['stored'] / 1e6:.0f}", str(row["load"])),
        ]
        for row in rows
    ]
    head = ["databases", "MB each", "tables of one more", "backup, s", "connections at most", "restore and check, s"]
    head += ["peak memory, MiB", "stored, MB", "load at its begin"]
    return ["", "## A backup of many databases, and of many tables", "", *table(head, body)] if body else []


def write() -> None:
    """Write the page."""
    lines = ["# Benchmarks", "", "Medians, with least and most of the runs, written by `python -m benchmarks.page`."]
    lines += site_loss(rows_of("site_loss")) + clusters(rows_of("clusters")) + leftovers(rows_of("leftovers"))
    lines += (
        repository(rows_of("repository"))
        + museum(rows_of("museum"))
        + logical(rows_of("logical"))
        + far_store(rows_of("far_store"))
        + quick_verify(rows_of("quick_verify"))
        + tenants(rows_of("tenants"))
        + start(rows_of("start"))
    )
    lines += (
        mutants(rows_of("mutants"))
        + kill_matrix(rows_of("kill_matrix"))
        + store_kills(rows_of("store_kills"))
        + ci(rows_of("ci"))
        + versions(rows_of("versions"))
    )
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
