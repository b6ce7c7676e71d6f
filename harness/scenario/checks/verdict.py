"""Checks of a record: verdict, reasons, completeness. Each raises Finding with one line."""

from collections.abc import Callable

from harness.core.errors import Finding, HarnessError
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.core.sequence import Branch, unseen
from harness.estate.config import Config
from harness.estate.registry import absent_messages


def require(truth: object, otherwise: str) -> None:
    """Raise Finding with the message `otherwise` unless `truth` is true."""
    if not truth:
        raise Finding(otherwise)


def require_verdict(record: DrillRecord, verdict: str, because: str = "") -> None:
    """Raise Finding unless the record has that verdict and reason, HarnessError for an unexpected UNKNOWN."""
    found = "; ".join(record.reasons)
    if record.verdict == Verdict.UNKNOWN != verdict:
        raise HarnessError(f"judged UNKNOWN, not {verdict}: {found or 'no reason given'}")
    require(record.verdict == verdict, f"judged {record.verdict}, not {verdict}: {found or 'no reason given'}")
    require(because in found, f"judged {verdict}, but not because of {because}: {found}")


def require_all_messages(record: DrillRecord, config: Config) -> None:
    """Raise Finding unless the record has every message of the mission's main path that this estate can show."""
    excused = {number for numbers in absent_messages(config).values() for number in numbers}
    absent = unseen(tuple(m.number for m in record.messages), Branch.MAIN)
    lacking = [number for number in absent if number not in excused]
    require(not lacking, f"messages not seen: {', '.join(lacking)}")


def require_whole_record(record: DrillRecord) -> None:
    """Raise Finding when a fact that auditors need is missing in the record."""
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
    """Raise Finding unless `work` is refused with a message that contains `word`."""
    try:
        work()
    except kind as error:
        require(word in str(error), f"refused, but for another reason: {error}")
    else:
        raise Finding(f"not refused: {word}")
