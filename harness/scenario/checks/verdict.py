"""Checks of a record: its verdict, its reasons, its completeness. Each raises Finding with one line."""

from collections.abc import Callable

from harness.core.errors import Finding, HarnessError
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen


def require(truth: object, otherwise: str) -> None:
    """Raise Finding with `otherwise` unless `truth`."""
    if not truth:
        raise Finding(otherwise)


def require_verdict(record: DrillRecord, verdict: str, because: str = "") -> None:
    """The record says so, for that reason."""
    found = "; ".join(record.reasons)
    if record.verdict == Verdict.UNKNOWN != verdict:
        raise HarnessError(f"judged UNKNOWN, not {verdict}: {found or 'no reason given'}")
    require(record.verdict == verdict, f"judged {record.verdict}, not {verdict}: {found or 'no reason given'}")
    require(because in found, f"judged {verdict}, but not because of {because}: {found}")


def require_all_messages(record: DrillRecord) -> None:
    """Every message of the mission's main path is in the record."""
    lacking = unseen(tuple(m.number for m in record.messages), Branch.MAIN)
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_whole_record(record: DrillRecord) -> None:
    """What an auditor looks for is there."""
    facts = {
        "objective": record.objective,
        "initiator": record.initiator,
        "commit": record.commit,
        "hashes": record.hashes,
        "phases": record.phases,
        "messages": record.messages,
        "versions": record.versions,
        "backup": record.backup,
        "size in bytes": record.data_bytes,
        "size in rows": record.data_rows,
    }
    lacking = [name for name, value in facts.items() if not value]
    require(not lacking, f"the record lacks {', '.join(lacking)}")


def require_refused(work: Callable[[], object], kind: type[Exception], word: str) -> None:
    """`work` is refused for a reason that holds `word`."""
    try:
        work()
    except kind as error:
        require(word in str(error), f"refused, but for another reason: {error}")
    else:
        raise Finding(f"not refused: {word}")
