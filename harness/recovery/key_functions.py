"""Key function tests, message 2.8, through the public front door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.backup.archive import bucket_name
from harness.core.clock import SYSTEM, Clock
from harness.core.contents import Contents
from harness.core.errors import Finding, HarnessError, UsageError
from harness.core.journal import Fact, Journal
from harness.core.parallel import in_parallel
from harness.core.record import KeyResult
from harness.core.service import Answer, KeyFunction, PublicDoor, Service

SUCCESSES = (200, 201, 202, 204)
NONE_DECLARED = "no key function is declared; without one the services cannot be tested"
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


@dataclass(frozen=True, slots=True)
class EmptyDoor:
    """A client of an estate in which nothing was recovered: every request is answered with a status and no content."""

    status: int

    def request(self, method: str, path: str, **_more: object) -> Answer:
        """Return the answer."""
        return Answer(self.status, b"", {})


def require_asserting(services: Sequence[Service], secrets: Mapping[str, str]) -> None:
    """Refuse key functions that could not fail: each must fail where every answer is empty. Raises UsageError."""
    functions = [function for service in services for function in service.key_functions(secrets)]
    if not functions:
        raise UsageError(NONE_DECLARED)
    for function in functions:
        if status := next((status for status in SUCCESSES if _passes(function, EmptyDoor(status))), None):
            raise UsageError(
                f"key function of {function.service} asserts nothing: {function.name}: it passes where every request "
                f"is answered {status} without content; let it compare what was recovered"
            )


def _passes(function: KeyFunction, door: PublicDoor) -> bool:
    try:
        function.check(door)
    except (Finding, HarnessError, OSError):
        return False
    return True


def run_once(function: KeyFunction, door: PublicDoor, journal: Journal, clock: Clock) -> KeyResult:
    """Run one key function; return its result and duration in seconds."""
    begin = clock.monotonic()
    try:
        detail, passed = function.check(door), True
    except (Finding, HarnessError, OSError) as error:
        detail, passed = str(error) or type(error).__name__, False
    took = clock.monotonic() - begin
    message = function.message if passed else ""
    facts: dict[str, Fact] = {"service": function.service, "passed": passed, "took": took, "detail": detail}
    event = journal.mark("key function", function.name, message=message, **facts)
    return KeyResult(function.name, function.service, passed, detail, took, event.at)


def run_key_functions(
    functions: Sequence[KeyFunction], door: PublicDoor, journal: Journal, clock: Clock = SYSTEM
) -> tuple[KeyResult, ...]:
    """Run all key functions in three rounds over five seconds.

    Raises Finding after the first round with a failure, UsageError without one that could fail.
    """
    if not functions:
        raise UsageError(NONE_DECLARED)
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
