"""The command that finishes interrupted work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from harness.cli import recovery, restore_test
from harness.cli.app import app, progress, promised, say_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.recovery.begun import Begun

T = TypeVar("T")


@app.command()
def resume(run: Annotated[Path, typer.Argument(help="The run folder of the interrupted work.")]) -> None:
    """Finish a recovery or a restore test that was interrupted. Its time counts from its begin.

    What it had made is removed first, and its phases are run again, into the same record.
    """
    from harness.recovery.recover import NAME
    from harness.recovery.resume import require_resumable

    begun = require_resumable(run.resolve())
    if begun.work == NAME:
        resume_recovery(run.resolve(), begun)
    else:
        resume_restore_test(run.resolve(), begun)


def resume_recovery(run: Path, begun: Begun) -> None:
    """Finish a recovery. Raises HarnessError, as the recovery itself."""
    from harness.estate.config import load_config
    from harness.recovery.down import require_down
    from harness.recovery.resume import continued, require_unchanged

    given = _options(recovery.Given.of, run, begun)
    require_unchanged(begun, given.config)
    require_down(given.witness, given.fenced)
    file, budget = promised(given.budgets, given.promise, "embedded")
    header = recovery.header_of(load_config(given.config), given.config, file, budget)
    recovery.carry_out(given, run, continued(run, begun, header, progress().event))


def resume_restore_test(run: Path, begun: Begun) -> None:
    """Finish a restore test. Raises HarnessError, typer.Exit with the exit code of its verdict."""
    from harness.attestation.keys import key_name, signing_key
    from harness.estate.config import load_config
    from harness.estate.drill_file import load_drill_file
    from harness.estate.substrates import SUBSTRATES
    from harness.estate.target_lock import alone_at, dr_target
    from harness.recovery.resume import continued, require_resumable, require_unchanged
    from harness.restore_test.undo import clear_interrupted
    from harness.substrate.embedded.undo_journal import UndoJournal

    given = _options(restore_test.Given.of, run, begun)
    require_unchanged(begun, given.config)
    loaded, key = load_config(given.config), signing_key(load_drill_file(given.config).table.key)
    label = SUBSTRATES[given.substrate].label(loaded) if given.substrate in SUBSTRATES else "embedded"
    file, budget = promised(given.budgets, given.promise, label)
    header = restore_test.header_of(loaded, given.config, file, budget, given.substrate)
    header = replace(header, approver=given.approver, signing_key=key_name(key))
    target = f"run {run.name}" if given.secrets is not None else dr_target(loaded)
    with alone_at(target, f"the resume of {run.name}"):
        require_resumable(run)  # another one may have resumed it meanwhile
        UndoJournal(run).note_harness()
        record = continued(run, begun, header, say_event)
        clear_interrupted(run)
    restore_test.carry_out(given, record.header, run, begun.record.parents[1], record)


def _options(of: Callable[[Mapping[str, str]], T], run: Path, begun: Begun) -> T:
    """Return the options with which the work began. Raises Unreadable where its journal lacks one."""
    from harness.core.errors import Unreadable

    try:
        return of(begun.given)
    except KeyError as error:
        raise Unreadable(
            f"{run}: its journal was changed: it does not say with which {error} the {begun.work} began; "
            "`blackstart sweep` the run, and begin anew"
        ) from None
