"""Key function tests, message 2.8, through the public front door."""

from collections.abc import Sequence

from harness.backup.archive import bucket_name
from harness.core.clock import SYSTEM, Clock
from harness.core.contents import Contents
from harness.core.errors import Finding, HarnessError
from harness.core.journal import Journal
from harness.core.parallel import in_parallel
from harness.core.record import KeyResult
from harness.core.service import KeyFunction, PublicDoor, Service

ROUNDS = 3
SPREAD = 5.0  # seconds over which the rounds are spread


def unread(services: Sequence[Service], contents: Contents) -> tuple[str, ...]:
    """Return one line for each folder and bucket with files in the backup that no key function reads."""
    files = {facts.name: facts.files for facts in contents.trees}
    lines = []
    for service in services:
        sources = service.sources()
        held = [(f"volume {tree.volume}", tree.volume, files.get(tree.name, 0)) for tree in sources.trees]
        held += [(f"bucket {one.bucket}", one.bucket, files.get(bucket_name(one.bucket), 0)) for one in sources.objects]
        for what, name, count in held:
            if count and name not in sources.read:
                lines.append(f"files: {service.name}: no key function reads {what}, which has {count} files")
    return tuple(dict.fromkeys(lines))


def run_once(function: KeyFunction, door: PublicDoor, journal: Journal, clock: Clock) -> KeyResult:
    """Run one key function; return its result and duration in seconds."""
    begin = clock.monotonic()
    try:
        detail, passed = function.check(door), True
    except (Finding, HarnessError, OSError) as error:
        detail, passed = str(error) or type(error).__name__, False
    took = clock.monotonic() - begin
    message = function.message if passed else ""
    event = journal.mark("key function", function.name, message=message, passed=passed, took=took, detail=detail)
    return KeyResult(function.name, function.service, passed, detail, took, event.at)


def run_key_functions(
    functions: Sequence[KeyFunction], door: PublicDoor, journal: Journal, clock: Clock = SYSTEM
) -> tuple[KeyResult, ...]:
    """Run all key functions in three rounds over five seconds. Raises Finding after the first round with a failure."""
    if not functions:
        raise Finding("no key function is declared; without one the services cannot be tested")
    results: list[KeyResult] = []
    first = clock.monotonic()
    by_service: dict[str, list[KeyFunction]] = {}
    for function in functions:
        by_service.setdefault(function.service, []).append(function)
    for number in range(ROUNDS):
        due = first + number * SPREAD / (ROUNDS - 1)
        clock.sleep(max(0.0, due - clock.monotonic()))
        done = in_parallel(
            {name: lambda fs=fs: [run_once(f, door, journal, clock) for f in fs] for name, fs in by_service.items()}  # type: ignore[misc]
        )
        now = [result for group in done.values() for result in group]
        results += now
        if failed := [f"{r.service}: {r.name}: {r.detail}" for r in now if not r.passed]:
            raise Finding(f"key function failed: {'; '.join(failed)}")
    return tuple(results)
