"""A restored n8n: it is silent until it is released, serves its clients, and cannot be started with another key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.node import Stoppable
from tests.services.n8n.local import Automation, DirectDoor, require

pytestmark = [pytest.mark.programs, pytest.mark.apps]
BY_THEMSELVES = ("both", "edited", "tidy up")


def values_of(site: Automation) -> list[str]:
    return [Path(reference.removeprefix("file:")).read_text() for reference in site.place.secrets.values()]


def test_a_copy_is_silent_until_it_is_released(automation: Automation) -> None:
    n8n, place = automation.fresh(), automation.place
    before = automation.published()
    ran = {name: automation.runs(name) for name in (*BY_THEMSELVES, "later", "slow")}
    held = n8n.contain(place, "disposable")
    assert {name for name, active, *_ in before if active} - {
        name for name, active, *_ in automation.published() if active
    } == set(BY_THEMSELVES)
    assert held.actions == (
        *(f"workflow:{i}:{v}" for i, v in automation.rows(
            """SELECT id, "versionId" FROM workflow_entity WHERE NOT active ORDER BY id""")),
        "executions:2",
    )  # fmt: skip
    assert not [row for row in automation.published() if not row[1] and row[3]], "n8n would tear these down itself"
    assert n8n.contain(place, "reversible") == held, "a second call forgets nothing"

    (check,) = n8n.key_functions(place.secrets)
    # Every ten seconds, when it is not set.
    with automation.running(N8N_WORKFLOW_PUBLICATION_RECONCILE_INTERVAL_SECONDS="2") as node:
        door = DirectDoor(node.endpoint("http").outside)
        assert "refused without token" in check.check(door)
        SYSTEM.sleep(4.5)  # the schedules are those of every other second
        assert {name: automation.runs(name) for name in BY_THEMSELVES} == {name: ran[name] for name in BY_THEMSELVES}
        assert automation.runs("later") == ["waiting"]
        assert automation.runs("slow")[-1] == "waiting"
        assert door.request("POST", "/webhook/both").status == 404
        assert door.request("POST", "/webhook/quiet").status == 200

        n8n.release(place, held)
        wait_until(
            lambda: require(all(len(automation.runs(name)) > len(ran[name]) for name in BY_THEMSELVES)),
            patience=25, what="schedules fire again",
        )  # fmt: skip
        assert automation.published() == before
        assert "refused without token" in check.check(door)
        assert isinstance(node, Stoppable)
        node.stop(20)

    with automation.running():
        wait_until(
            lambda: require([automation.runs(name)[-1] for name in ("later", "slow")] == ["success"] * 2),
            patience=25,
            on=NotYet,
            what="executions go on",
        )


def test_a_release_names_what_is_gone(automation: Automation) -> None:
    n8n = automation.fresh()
    held = n8n.contain(automation.place, "reversible")
    ((gone,),) = automation.rows("SELECT id FROM workflow_entity WHERE name = 'both'")
    automation.rows("DELETE FROM workflow_entity WHERE name = 'both'")
    with pytest.raises(HarnessError, match=f"workflow {gone} is missing or archived"):
        n8n.release(automation.place, held)
    assert {name for name, active, *_ in automation.published() if active} >= {"edited", "tidy up", "dummy"}


def test_only_what_was_held_can_be_released(automation: Automation) -> None:
    n8n = automation.fresh()
    held = n8n.contain(automation.place, "reversible")
    inactive = [row for row in automation.published() if not row[1]]
    with pytest.raises(HarnessError, match=re.escape("'cron:3' is unknown to n8n's release; nothing was released")):
        n8n.release(automation.place, replace(held, actions=(*held.actions, "cron:3")))
    assert [row for row in automation.published() if not row[1]] == inactive


def test_what_is_no_n8n_is_not_contained(automation: Automation) -> None:
    with pytest.raises(HarnessError, match=r"database postgres at .* is it the database of an n8n"):
        replace(automation.fresh(), database="postgres").contain(automation.place, "reversible")


def test_the_process_knows_no_secret(automation: Automation) -> None:
    (spec,) = automation.fresh().nodes(automation.place)
    text = " ".join([*spec.argv, *spec.env.values()])
    assert "@{secret:" not in text
    assert not any(value in text for value in values_of(automation))
    assert set(spec.files.values()) == {"@{secret:password}", "@{secret:key}"}


def test_a_key_that_is_missing_is_named(automation: Automation) -> None:
    rest = {name: reference for name, reference in automation.place.secrets.items() if name != "n8n-key"}
    with pytest.raises(HarnessError, match="site primary has no secret 'n8n-key'"):
        automation.fresh().nodes(replace(automation.place, secrets=rest))


def test_with_another_key_it_does_not_start_and_says_why(automation: Automation, tmp_path: Path) -> None:
    automation.fresh()
    other = tmp_path / "key"
    other.write_text("another key than the one")
    place = replace(automation.place, secrets={**automation.place.secrets, "n8n-key": f"file:{other}"})
    with (
        pytest.raises(HarnessError, match=r"ended with code 1 .*cannot be read with this instance encryption key") as e,
        automation.running(place),
    ):
        pass
    assert "another key than the one" not in str(e.value)


def test_a_crash_does_not_delay_the_next_start(automation: Automation) -> None:
    journal = ".n8n/crash.journal"
    automation.fresh()
    volume = automation.place.site.volume("n8n")
    with volume.open(journal, "wb"):
        pass
    automation.fresh().nodes(automation.place)
    assert journal not in list(volume.walk())


def test_a_credential_that_cannot_be_read_is_found_out(automation: Automation) -> None:
    n8n = automation.fresh()
    n8n.contain(automation.place, "disposable")
    automation.rows("UPDATE credentials_entity SET data = 'U2FsdGVkX18AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='")
    (check,) = n8n.key_functions(automation.place.secrets)
    with automation.running() as node, pytest.raises(Finding, match=r"dummy workflow with its token: \d+ instead"):
        check.check(DirectDoor(node.endpoint("http").outside))
