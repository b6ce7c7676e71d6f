"""Containment, release and key function of a real n8n, and its encryption key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.node import Stoppable
from harness.services.n8n.load import store_clients
from harness.vault import read_text_secret
from tests.services.doors import DirectDoor
from tests.services.n8n.n8n_server import Automation, require

pytestmark = [pytest.mark.programs, pytest.mark.apps]
SCHEDULED = ("both", "edited", "tidy up")


@pytest.mark.night
def test_a_contained_copy_runs_no_schedule_until_its_release(automation: Automation) -> None:
    n8n, place = automation.fresh(), automation.place
    before = automation.published()
    ran = {name: automation.runs(name) for name in (*SCHEDULED, "later", "slow")}
    held = n8n.contain(place, "disposable")
    assert {name for name, active, *_ in before if active} - {
        name for name, active, *_ in automation.published() if active
    } == set(SCHEDULED)
    assert held.actions == (
        *(f"workflow:{i}:{v}" for i, v in automation.rows(
            """SELECT id, "versionId" FROM workflow_entity WHERE NOT active ORDER BY id""")),
        "executions:2",
    )  # fmt: skip
    assert not [row for row in automation.published() if not row[1] and row[3]], "n8n would tear these workflows down"
    assert n8n.contain(place, "reversible") == held, "a second call must return the same actions"

    (check,) = n8n.key_functions(place.secrets)
    # The default is ten seconds.
    with automation.running(N8N_WORKFLOW_PUBLICATION_RECONCILE_INTERVAL_SECONDS="2") as node:
        door = DirectDoor(node)
        assert "refused without token" in check.check(door)
        SYSTEM.sleep(4.5)  # the schedules fire every 2 s
        assert {name: automation.runs(name) for name in SCHEDULED} == {name: ran[name] for name in SCHEDULED}
        assert automation.runs("later") == ["waiting"]
        assert automation.runs("slow")[-1] == "waiting"
        assert door.request("POST", "/webhook/both").status == 404
        assert door.request("POST", "/webhook/quiet").status == 200

        n8n.release(place, held)
        wait_until(
            lambda: require(all(len(automation.runs(name)) > len(ran[name]) for name in SCHEDULED)),
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
            what="executions resume",
        )


@pytest.mark.night
def test_executions_of_the_ledger_are_acknowledged_once_they_are_stored(automation: Automation) -> None:
    n8n, place = automation.fresh(), automation.place
    (clients,) = store_clients(n8n.name, n8n.database)
    with automation.running() as node:
        door = DirectDoor(node)
        send = clients.sender(door, place.secrets)
        wait_until(lambda: require(send(1)), patience=20, what="the webhook")
        for number in range(2, 12):
            assert send(number)
            assert number in clients.survivors(door, place.secrets, place), "answered before it was stored"
        found = clients.survivors(door, place.secrets, place)
        assert found == set(range(1, 12))
        node.kill()
        assert clients.survivors(door, place.secrets, place) == found
        with pytest.raises(OSError, match="refused"):
            send(12)
    with pytest.raises(HarnessError, match="the clients have no secret 'shop-token'"):
        clients.sender(door, {"gateway-key": place.secrets["gateway-key"]})


def test_a_release_names_missing_workflows(automation: Automation) -> None:
    n8n = automation.fresh()
    held = n8n.contain(automation.place, "reversible")
    ((gone,),) = automation.rows("SELECT id FROM workflow_entity WHERE name = 'both'")
    automation.rows("DELETE FROM workflow_entity WHERE name = 'both'")
    (line,) = n8n.release(automation.place, held)
    assert f"workflow {gone} was removed or archived since" in line
    assert {name for name, active, *_ in automation.published() if active} >= {"edited", "tidy up", "dummy"}


def test_a_release_refuses_unknown_actions(automation: Automation) -> None:
    n8n = automation.fresh()
    held = n8n.contain(automation.place, "reversible")
    inactive = [row for row in automation.published() if not row[1]]
    with pytest.raises(HarnessError, match=re.escape("'cron:3' is unknown to n8n's release; nothing was released")):
        n8n.release(automation.place, replace(held, actions=(*held.actions, "cron:3")))
    assert [row for row in automation.published() if not row[1]] == inactive


def test_another_database_is_not_contained(automation: Automation) -> None:
    with pytest.raises(HarnessError, match=r"database postgres at .* is it the database of an n8n"):
        replace(automation.fresh(), database="postgres").contain(automation.place, "reversible")


def test_arguments_and_environment_contain_no_secret(automation: Automation) -> None:
    (spec,) = automation.fresh().nodes(automation.place)
    text = " ".join([*spec.argv, *spec.env.values()])
    assert "@{secret:" not in text
    assert not any(read_text_secret(reference) in text for reference in automation.place.secrets.values())
    assert set(spec.files.values()) == {"@{secret:password}", "@{secret:key}"}


def test_a_missing_key_is_named(automation: Automation) -> None:
    rest = {name: reference for name, reference in automation.place.secrets.items() if name != "n8n-key"}
    with pytest.raises(HarnessError, match="site primary has no secret 'n8n-key'"):
        automation.fresh().nodes(replace(automation.place, secrets=rest))


@pytest.mark.night
def test_n8n_does_not_start_with_another_key(automation: Automation, tmp_path: Path) -> None:
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


def test_what_n8n_saved_is_decrypted_and_its_nodes_come_with_it(automation: Automation) -> None:
    n8n = automation.fresh()
    assert [one.line for one in n8n.assertions(automation.place)] == [
        "database n8n: its credentials can be decrypted with n8n-key: all 1 can",
        "database n8n: the packages of its nodes are installed: only those that come with n8n",
    ]
    automation.rows("UPDATE credentials_entity SET data = overlay(data placing 'AAAA' from 25)")
    credentials, _packages = n8n.assertions(automation.place)
    assert "FAILED: 1 of 1 cannot: 'shop token' (httpHeaderAuth)" in credentials.line


def test_the_crash_journal_is_removed_before_a_start(automation: Automation) -> None:
    journal = ".n8n/crash.journal"
    automation.fresh()
    volume = automation.place.site.volume("n8n")
    with volume.open(journal, "wb"):
        pass
    automation.fresh().nodes(automation.place)
    assert journal not in list(volume.walk())


@pytest.mark.night
def test_an_unreadable_credential_is_a_finding(automation: Automation) -> None:
    n8n = automation.fresh()
    n8n.contain(automation.place, "disposable")
    automation.rows("UPDATE credentials_entity SET data = 'U2FsdGVkX18AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='")
    (check,) = n8n.key_functions(automation.place.secrets)
    with automation.running() as node, pytest.raises(Finding, match=r"dummy workflow with its token: \d+ instead"):
        check.check(DirectDoor(node))
