"""What a drill could not show, and what it should have shown and did not."""

from collections.abc import Sequence

from harness.core.sequence import Branch, expected
from harness.core.service import Service
from harness.estate.config import Config
from harness.estate.registry import absent_messages, not_contained

TRIGGER = "1.1"
LAST = ("2.9", "2.10")  # seen once the record is written


def not_drilled(
    config: Config, services: Sequence[Service], limits: Sequence[str], *, scheduled: bool
) -> tuple[str, ...]:
    """Return, by name, what a drill of this estate could not show, and why."""
    lacking = [*limits, *not_contained(config, services)]
    lacking += [f"{', '.join(numbers)}: no {kind} in this estate" for kind, numbers in absent_messages(config).items()]
    if not scheduled:
        lacking.append(f"{TRIGGER}: the backup was taken by hand")
    return tuple(lacking)


def missing(config: Config, seen: Sequence[str], *, scheduled: bool) -> tuple[str, ...]:
    """Return the main messages of the mission that should have been seen by now and were not."""
    excused = {*LAST, *(number for numbers in absent_messages(config).values() for number in numbers)}
    if not scheduled:
        excused.add(TRIGGER)
    return tuple(number for number in expected(Branch.MAIN) if number not in seen and number not in excused)
