"""Private folders for the time of a restore, which a sweep of its run removes where the restore is killed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from harness.substrate.common.filesystem import remove_tree
from harness.substrate.embedded.process_tree import RUN_TAG
from harness.substrate.embedded.undo_journal import UndoJournal


@contextmanager
def private_place(tags: Mapping[str, str], home: Path | None = None) -> Iterator[Path]:
    """Yield a new folder for this user alone, in `home`; it is removed at the end of the block.

    Without `home` its path is short enough for the name of a socket. `tags`: variables that may name a run, in whose
    undo journal the folder is noted before it is made. Raises HarnessError for a run that was swept, OSError.
    """
    made = Path(home or gettempdir(), f"blackstart-{token_hex(6)}").absolute()
    run = tags.get(RUN_TAG)
    journal = UndoJournal(Path(run)) if run else None
    if journal is not None:
        journal.note_file(made)
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        remove_tree(made)
        if journal is not None:
            journal.file_gone(made)
