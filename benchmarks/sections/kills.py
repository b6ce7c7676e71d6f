"""Sections about what was taken away, and about what was killed."""

from __future__ import annotations

from collections import Counter

from benchmarks.rows import Rows, table


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
