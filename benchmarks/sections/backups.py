"""Sections about backups, their stores, and the command line."""

from __future__ import annotations

from typing import Any

from benchmarks.rows import Rows, of_newest_day, spread, table


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


def start(rows: Rows) -> list[str]:
    """Return the section of how long the command line takes to start: the newest of each, by number of processors."""
    newest = {(row["processors"], row["what"]): row for row in rows}
    body = [
        [what, str(processors), row["commit"], spread(row["walls"], 2), spread(row["cpus"], 2), str(row["load"])]
        for (processors, what), row in newest.items()
    ]
    head = ["", "processors", "commit", "wall, s", "CPU, s", "load before"]
    return ["", "## Start of the command line", "", *table(head, body)] if body else []


def memory(rows: Rows) -> list[str]:
    """Return the section of the memory that the repository needs: the newest run of each size, on each machine."""
    newest: dict[tuple[int, int, int, str], tuple[dict[str, Any], dict[str, Any]]] = {}
    for row in rows:
        for figures in row["figures"]:
            objects = figures.get("objects", 1)
            key = (row["machine"]["processors"], round(figures["plain_mib"]), objects)
            newest[(*key, figures["direction"])] = (row, figures)
    body = []
    for (processors, plain, objects, direction), (row, figures) in sorted(newest.items()):
        costs = [f"{figures[name]:.1f}" for name in ("wall_s", "cpu_s")]
        peak = f"{figures['peak_mib']:.0f}"
        body.append([str(processors), row["at"][:10], f"{plain} MiB", str(objects), direction, *costs, peak])
    head = ["processors", "day", "plaintext", "objects at a time", "direction", "wall, s", "CPU, s", "peak memory, MiB"]
    return ["", "## Memory of a backup, and of reading it back", "", *table(head, body)] if body else []
