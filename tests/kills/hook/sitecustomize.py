"""Kills a drill or a restore test at one change, in the process that writes the undo journal."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Lock, Timer

AT, LOG = "BLACKSTART_KILL_AT", "BLACKSTART_KILL_LOG"  # `before 7`, `after 7` or ``; a file with a line for each change
SOON = 0.03  # seconds after which a change that has no end of its own is under way


def install() -> None:
    """Count the changes, and die before or after the one that the environment names."""
    from harness.substrate.embedded.undo_journal import Undo, UndoJournal  # noqa: PLC0415 - only where it is asked for

    note, began = UndoJournal.note, UndoJournal.began
    moment, _, number = os.environ.get(AT, "").partition(" ")
    lock, count, awaited = Lock(), [0], [""]

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def noting(self: UndoJournal, undo: Undo, **facts: object) -> str:
        name = note(self, undo, **facts)
        with lock:
            count[0] += 1
            mine = str(count[0])
            with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
                log.write(f"{mine}\t{undo.name}\t{what(facts)}\n")
        if mine == number and moment == "before":
            die()
        if mine == number and undo == Undo.END:
            awaited[0] = name
        elif mine == number:
            Timer(SOON, die).start()
        return name

    def beginning(self: UndoJournal, pid: int, intent: str = "") -> object:
        if intent and intent == awaited[0]:
            die()  # the process runs, and its number is not written down
        return began(self, pid, intent)

    UndoJournal.note, UndoJournal.began = noting, beginning  # type: ignore[method-assign, assignment]


def what(facts: dict[str, object]) -> str:
    """Return what is changed, in a few words."""
    if "intent" in facts:
        return f"{facts['site']}/{facts['intent']}"
    return str(
        facts.get("what") or facts.get("node") or facts.get("site") or Path(str(next(iter(facts.values()), ""))).name
    )


if os.environ.get(LOG):
    install()
