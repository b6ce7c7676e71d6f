"""Parser of `drill.toml` beside `estate.toml`: what no machine can know of a drill, and how its record is signed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from harness.core.errors import UsageError
from harness.core.record import Person, Statements
from harness.core.text import odd_in, same_name
from harness.declaration import Reference, Table
from harness.estate.mistakes import explain, parse_toml

FILE = "drill.toml"
LONGEST = 500  # characters of a text


def stated_text(text: str) -> str:
    """Return a text that people state if pages and terminals can show it on one line. Raises ValueError."""
    if found := odd_in(text):
        raise ValueError(f"has a character that cannot be shown ({found}); write plain text on one line")
    if text and not text.strip():
        raise ValueError("must not be blank; leave the key out, the record then says `not stated`")
    return text


Text = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(stated_text)]
Days = Annotated[int, Field(ge=1, le=36525)]


class PersonTable(Table):
    """A person and what they do in the drill."""

    name: Text
    role: Annotated[str, Field(max_length=LONGEST), AfterValidator(stated_text)] = ""


class PlanTable(Table):
    """The plan, or runbook, that is drilled."""

    name: Text | None = None
    version: Text | None = None
    approved_by: Text | None = None
    changed_on: date | None = None


class ScopeTable(Table):
    """What is drilled and what is not, who else is involved, what is assumed."""

    inside: tuple[Text, ...] = ()
    outside: tuple[Text, ...] = ()
    third_parties: tuple[Text, ...] = ()
    assumptions: tuple[Text, ...] = ()


class PeopleTable(Table):
    """Who takes part, who watches, who is left out on purpose, who reviews the record."""

    participants: tuple[PersonTable, ...] = ()
    observers: tuple[PersonTable, ...] = ()
    excluded: tuple[PersonTable, ...] = ()
    reviewer: PersonTable | None = None

    @field_validator("participants", "observers", "excluded")
    @classmethod
    def once(cls, found: tuple[PersonTable, ...]) -> tuple[PersonTable, ...]:
        """Refuse a person who is there twice."""
        for number, one in enumerate(found):
            if any(same_name(one.name, other.name) for other in found[:number]):
                raise ValueError(f"{one.name!r} is there twice; name each person once, with all roles")
        return found

    @model_validator(mode="after")
    def apart(self) -> Self:
        """Refuse a person who is left out on purpose and takes part."""
        for one in self.excluded:
            if any(same_name(one.name, other.name) for other in (*self.participants, *self.observers)):
                raise ValueError(f"{one.name!r} is excluded, and a participant or observer; remove one of the two")
        return self


class DrillTable(Table):
    """All of `drill.toml`. Every key may be left out: the record then says `not stated`."""

    approval: Literal["required", "optional"] = "optional"
    key: Reference | None = None
    time_server: Text | None = None
    basis: Text | None = None
    critical_function: Text | None = None
    deviations: tuple[Text, ...] = ()
    interval_days: Days | None = None
    retention_days: Days | None = None
    plan: PlanTable = PlanTable()
    scope: ScopeTable = ScopeTable()
    people: PeopleTable = PeopleTable()


@dataclass(frozen=True, slots=True)
class DrillFile:
    """What `drill.toml` says. `content`: its bytes, empty without a file."""

    content: bytes = b""
    table: DrillTable = field(default_factory=DrillTable)

    @property
    def inputs(self) -> Mapping[str, bytes]:
        """The file itself, as one that decides a drill; none without it."""
        return {FILE: self.content} if self.content else {}

    def statements(self, today: date) -> Statements:
        """Return what people stated, for a record of `today`."""
        table, plan, scope, people = self.table, self.table.plan, self.table.scope, self.table.people

        def after(days: int | None) -> str | None:
            return None if days is None else (today + timedelta(days=days)).isoformat()

        return Statements(
            plan=plan.name,
            plan_version=plan.version,
            plan_approved_by=plan.approved_by,
            plan_changed_on=plan.changed_on.isoformat() if plan.changed_on else None,
            basis=table.basis,
            critical_function=table.critical_function,
            in_scope=scope.inside or None,
            out_of_scope=scope.outside or None,
            third_parties=scope.third_parties or None,
            assumptions=scope.assumptions or None,
            participants=_people(people.participants),
            observers=_people(people.observers),
            excluded_people=_people(people.excluded),
            reviewer=Person(people.reviewer.name, people.reviewer.role) if people.reviewer else None,
            deviations=table.deviations or None,
            next_due=after(table.interval_days),
            retain_until=after(table.retention_days),
        )

    def require_approval(self, initiator: str, approver: str) -> None:
        """Raise UsageError when approval is required and nobody else than the initiator gave it.

        Also for names that no page and no terminal can show.
        """
        for option, name in (("--initiator", initiator), ("--approver", approver)):
            if (found := odd_in(name)) or len(name) > LONGEST:
                wrong = f"has a character that cannot be shown ({found})" if found else f"is longer than {LONGEST}"
                raise UsageError(f"{option}: the name {wrong}; write plain text on one line")
        if self.table.approval != "required":
            return
        if not approver.strip():
            raise UsageError(f'{FILE}: approval = "required", and nobody approved this run; add --approver NAME')
        if same_name(approver, initiator):
            raise UsageError(f"{approver} cannot approve what they initiate; add --approver with another name")


def load_drill_file(estate: Path) -> DrillFile:
    """Return what the `drill.toml` beside a declaration says, nothing without that file. Raises UsageError."""
    path = estate.parent / FILE
    if not os.path.lexists(path):
        return DrillFile()  # a link that leads nowhere is a mistake
    data = parse_toml(path, "it is optional: remove it, or make it readable")
    try:
        return DrillFile(path.read_bytes(), DrillTable.model_validate(data))
    except ValidationError as error:
        raise explain(error, DrillTable, path, data) from None


def _people(found: Sequence[PersonTable]) -> tuple[Person, ...] | None:
    return tuple(Person(one.name, one.role) for one in found) or None
