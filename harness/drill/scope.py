"""What a drill has to show, and what it did not drill."""

from collections.abc import Mapping, Sequence

from harness.core.sequence import Branch, expected
from harness.core.service import Service
from harness.estate.config import Config
from harness.estate.isolation import outside_volumes
from harness.estate.registry import absent_messages, not_contained, without_ledger
from harness.repository.catalogue import Receipt

TRIGGER = "1.1"
LAST = ("2.9", "2.10")  # journalled when the record is written


def not_drilled(
    config: Config, services: Sequence[Service], limits: Sequence[str], *, scheduled: bool
) -> tuple[str, ...]:
    """Return one line for each thing that was not drilled, with its reason."""
    lacking = [*limits, *not_contained(config, services)]
    lacking += [
        f"{path} is outside its volumes: what is written there is in no backup" for path in outside_volumes(config)
    ]
    lacking += [f"data loss of {name}: no client of the drill writes to it" for name in without_ledger(config)]
    lacking += [f"{', '.join(numbers)}: no {kind} in this estate" for kind, numbers in absent_messages(config).items()]
    if not scheduled:
        lacking.append(f"{TRIGGER}: the backup was not taken by the schedule")
    return tuple(lacking)


def missing(config: Config, seen: Sequence[str], *, scheduled: bool) -> tuple[str, ...]:
    """Return the numbers of main messages that a complete drill shows and this one has not."""
    excused = {*LAST, *(number for numbers in absent_messages(config).values() for number in numbers)}
    if not scheduled:
        excused.add(TRIGGER)
    return tuple(number for number in expected(Branch.MAIN) if number not in seen and number not in excused)


def with_digest(backup: Mapping[str, str | float], receipts: Sequence[Receipt]) -> Mapping[str, str | float]:
    """Return the facts of the restored backup with the SHA-256 of its COMMIT, when this drill took the backup."""
    found = [receipt.digest for receipt in receipts if receipt.backup_id == backup.get("id")]
    return {**backup, "commit_sha256": found[0]} if found else backup
