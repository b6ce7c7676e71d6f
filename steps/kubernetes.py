"""What befalls clusters."""

from __future__ import annotations

from types import ModuleType

from pytest_bdd import parsers, then, when

from harness.drill.drill import Drill


def mishaps() -> ModuleType:
    """What can befall a cluster; its clients take seconds to import, and most runs have no cluster."""
    from harness.scenario.faults import cluster as mishap  # noqa: PLC0415

    return mishap


@when(parsers.parse("the primary cluster suffers {word}"))
def _(drill: Drill, word: str) -> None:
    mishaps().suffer(drill, word)


@when("the volume of the primary's database is lost")
def _(drill: Drill) -> None:
    drill.strike(destroy=mishaps().lose_database_volume)


@when("the estate is recovered although the DR control plane is away at first")
def _(drill: Drill) -> None:
    mishaps().recover_past_absence(drill)


@when(parsers.parse("recovery is attempted although {word}"), target_fixture="cause")
def _(drill: Drill, word: str) -> str:
    return str(mishaps().recover_although(drill, word))


@then("clients are served again")
def _(drill: Drill) -> None:
    mishaps().require_served_again(drill)


@then("no acknowledged write is lost")
def _(drill: Drill) -> None:
    mishaps().require_none_lost(drill)


@then("no pod of the DR cluster reaches the world")
def _(drill: Drill) -> None:
    mishaps().require_walled(drill)


@then(parsers.parse("the recovery failed, naming {_what}"))
def _(drill: Drill, cause: str) -> None:
    mishaps().require_named(drill, cause)
