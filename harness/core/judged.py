"""What a judge was given, as events of the journal: whoever reads journal and ledger can judge again."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

from harness.core.errors import Unreadable
from harness.core.journal import END, FAILED, Event, Fact
from harness.core.judge import Clients, Evidence, Phase, Promise
from harness.core.ledger import CLIENTS, NO_WRITES, Ledgers
from harness.core.loss import StoreWrites
from harness.core.record import Promised

PROMISED = "promised"  # the kind of the event that opens a record: mode and budgets
JUDGED = "judged"  # the kind of the events that its verdict is made of
OBSERVED = "observed"  # the subject of the one with all single values; the others have one line of a list each
LEDGER = "ledger"  # the subject of one event for each ledger besides that of the client load
FINDING, DOUBT = "finding", "doubt"
LISTS = {"uncovered": "uncovered", "not done": "missing", FINDING: "findings", DOUBT: "doubts"}
DRILL = "drill"  # the mode in which clients write
MOST = 10_000_000  # numbers in one text; more are refused before they are made
MAX_SECONDS = 1e11  # three thousand years
COUNTS = frozenset({"missing_files", "checks"})
NUMBERS = COUNTS | {
    "struck",
    "activated",
    "key",
    "exposure",
    "copied",
    "rto_seconds",
    "rpo_seconds",
    "exposure_seconds",
}
RANGES = re.compile(r"(\d{1,999}(-\d{1,999})?( \d{1,999}(-\d{1,999})?)*)?", re.ASCII)


def promise_facts(promise: Promise, mode: str, expected: str) -> Mapping[str, Fact]:
    """Return the facts of the event that opens a record: its mode, the budgets, and the expected verdict if stated."""
    budget = Promised.of(promise)
    facts: dict[str, Fact] = {name: getattr(budget, name) for name in Promised.__slots__}
    return {"mode": mode, **facts} | ({"expected": expected} if expected else {})


def inputs_of(evidence: Evidence) -> Iterator[tuple[str, Mapping[str, Fact]]]:
    """Yield subject and facts of each event that `evidence` is journalled as. Times in monotonic seconds."""
    clients = evidence.clients
    found: dict[str, Fact | None] = {
        "struck": clients.struck if clients else None,
        "witnessed": clients.witnessed if clients else None,
        "survivors": ranges(clients.survivors) if clients and clients.survivors is not None else None,
        "activated": evidence.activated,
        "key": evidence.key,
        "exposure": evidence.exposure,
        "missing_files": evidence.missing_files,
        "checks": evidence.checks,
    }
    yield OBSERVED, {name: value for name, value in found.items() if value is not None}
    for store in clients.stores if clients else ():
        alive = {} if store.survivors is None else {"survivors": ranges(store.survivors)}
        copied = {} if store.copied is None else {"copied": store.copied}
        yield LEDGER, {"name": store.name, **alive, **copied}
    for subject, name in LISTS.items():
        for line in getattr(evidence, name):
            yield subject, {"line": line}


def evidence_in(events: tuple[Event, ...], ledgers: Ledgers) -> Evidence:
    """Return the evidence that the newest record of a journal was judged by. Raises Unreadable where there is none.

    A ledger that was written and not judged is Unreadable too.
    """
    events = since_promise(events)
    last = max((i for i, event in enumerate(events) if (event.kind, event.subject) == (JUDGED, OBSERVED)), default=None)
    if last is None:
        raise Unreadable(f"the journal has no event `{JUDGED} {OBSERVED}`: the drill was not concluded")
    judged = [event for event in events[last:] if event.kind == JUDGED]
    for event in judged:
        _require_numbers(event.facts)
    facts, opened = events[last].facts, events[0].facts
    clients = None
    if opened.get("mode") == DRILL:
        clients = Clients(
            ledgers.get(CLIENTS, NO_WRITES),
            _seconds(facts, "struck"),
            facts.get("witnessed") is True,
            _survivors(facts),
            _stores(judged, ledgers),
        )
    evidence = Evidence(
        promise_in(opened),
        clients,
        activated=_seconds(facts, "activated"),
        key=_seconds(facts, "key"),
        exposure=_seconds(facts, "exposure"),
        missing_files=_number(facts, "missing_files"),
        uncovered=_lines(judged, "uncovered"),
        missing=_lines(judged, "not done"),
        findings=_lines(judged, FINDING),
        doubts=_lines(judged, DOUBT),
        checks=_number(facts, "checks"),
    )
    return replace(evidence, phases=phases_of(events[:last], evidence.origin))


def _stores(judged: list[Event], ledgers: Ledgers) -> tuple[StoreWrites, ...]:
    """Return the ledgers besides that of the client load."""
    found = [event.facts for event in judged if event.subject == LEDGER]
    names = [str(facts.get("name")) for facts in found]
    if unjudged := sorted(ledgers.keys() - {CLIENTS, *names}):
        raise Unreadable(f"ledger {unjudged[0]}: was written and not judged")
    return tuple(
        StoreWrites(name, ledgers.get(name, NO_WRITES), _survivors(facts), _seconds(facts, "copied"))
        for name, facts in zip(names, found, strict=True)
    )


def _survivors(facts: Mapping[str, Fact]) -> frozenset[int] | None:
    survivors = facts.get("survivors")
    return None if survivors is None else numbers_in(str(survivors))


def noted_in(events: Iterable[Event], kind: str) -> tuple[str, ...]:
    """Return the errors that were noted as a FINDING, or as a DOUBT, each once."""
    noted = (event.facts.get("error") for event in events if event.kind == kind)
    return tuple(dict.fromkeys(str(error) for error in noted if error is not None))


def since_promise(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events of the newest record, from its promise on. Raises Unreadable when nothing was promised."""
    begins = [index for index, event in enumerate(events) if event.kind == PROMISED]
    if not begins:
        raise Unreadable(f"the journal has no event `{PROMISED}`: no budget was written down before the drill")
    return events[begins[-1] :]


def promise_in(facts: Mapping[str, Fact]) -> Promise:
    """Return the promise of an event `promised`; raises Unreadable."""
    _require_numbers(facts)
    rto, rpo, exposure = (_seconds(facts, f"{name}_seconds") for name in ("rto", "rpo", "exposure"))
    name, owner, reason = (facts.get(name) for name in ("name", "owner", "reason"))
    if rto is None or rpo is None or exposure is None:
        raise Unreadable(f"event `{PROMISED}`: has no rto_seconds, rpo_seconds and exposure_seconds")
    budgets = (timedelta(seconds=rto), timedelta(seconds=rpo), timedelta(seconds=exposure))
    return Promise(str(name), *budgets, str(owner), str(reason), _number(facts, "missing_files"))


def phases_of(events: tuple[Event, ...], origin: float | None) -> tuple[Phase, ...]:
    """Return the phases after `origin`, in seconds from it; a drill's detection begins with the fault itself."""
    if origin is None:
        return ()
    begun = {"detect": origin}
    phases = []
    for event in events:
        if event.at < origin:
            continue
        if event.kind == "begin":
            begun[event.subject] = event.at
        elif event.kind in (END, FAILED) and event.subject in begun:
            phases.append(Phase(event.subject, begun.pop(event.subject) - origin, event.at - origin))
    return tuple(phases)


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as text such as `1-120 125`."""
    runs = (
        [number for _, number in run] for _, run in groupby(enumerate(sorted(numbers)), key=lambda one: one[1] - one[0])
    )
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def numbers_in(text: str) -> frozenset[int]:
    """Return the numbers of a text that `ranges` made; raises Unreadable for another, and for more than MOST."""
    if not RANGES.fullmatch(text):
        raise Unreadable(f"survivors {text[:40]!r}: not numbers such as `1-120 125`")
    runs = [(int(first), int(last or first)) for first, _, last in (run.partition("-") for run in text.split())]
    ends = [number for first, last in runs for number in (first, last + 1)]
    if ends != sorted(ends):  # a run backwards would hide numbers that were never written from who only counts
        raise Unreadable(f"survivors {text[:40]!r}: the numbers are not in order")
    if sum(last - first + 1 for first, last in runs) > MOST:
        raise Unreadable(f"survivors: more than {MOST} numbers")
    return frozenset(number for first, last in runs for number in range(first, last + 1))


def _lines(judged: list[Event], subject: str) -> tuple[str, ...]:
    return tuple(str(event.facts.get("line")) for event in judged if event.subject == subject)


def _require_numbers(facts: Mapping[str, Fact]) -> None:
    """Raise Unreadable where another value stands for a number of which verdicts are made, used by this one or not."""
    for name in NUMBERS & facts.keys():
        value, counted = facts[name], name in COUNTS
        if isinstance(value, bool | str) or not 0 <= value < MAX_SECONDS or (counted and not isinstance(value, int)):
            raise Unreadable(f"{name} {value!r}: not a number{'' if counted else ' of seconds'}")


def _seconds(facts: Mapping[str, Fact], name: str) -> float | None:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else None


def _number(facts: Mapping[str, Fact], name: str) -> int:
    if not isinstance(value := facts.get(name), int):
        raise Unreadable(f"{name} {value!r}: not a number")
    return value
