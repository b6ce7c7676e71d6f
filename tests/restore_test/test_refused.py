"""Restore tests that the interlock or the preflight refuses: a record is left, and the site is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import Refused
from harness.core.service import KeyFunction
from harness.estate.site import EstateSite, NodeStatus
from harness.restore_test.interlock import Interlock, Production
from harness.restore_test.restore_test import RestoreTest
from harness.restore_test.targets import signature_of
from harness.s3.client import ensure_bucket, tag
from tests.memory_estate import MemoryEstate, Shop, shop_database
from tests.restore_test.in_memory import made, require_cleared
from tests.restore_test.signed import OTHER, signed
from tests.traffic.backend import Backend

Fault = Callable[[MemoryEstate], object]


class RunningSite(EstateSite):
    """A site whose servers run already."""

    def activate(self) -> tuple[NodeStatus, ...]:
        return ()


@pytest.fixture
def locked(memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path) -> RestoreTest:
    """A restore test whose DR site runs, is tagged, and is on the list of drill targets."""
    memory_estate.backed_up()
    dr = memory_estate.site("dr")
    dr.activate()
    memory_estate.sites["dr"] = RunningSite(dr.site, dr.secrets, {}, dr.sql, dr.s3)
    ensure_bucket(dr.place.s3, "identity")
    tag(dr.place.s3, "identity", "the DR site")
    targets = tmp_path / "drill-targets.toml"
    listed = {"name": "dr", "system": "dr-1", "bucket": "identity", "tag": "the DR site"}
    key = signed(targets, "[[target]]\n" + "".join(f'{key} = "{value}"\n' for key, value in listed.items()))
    work = made(memory_estate, gateway, tmp_path)
    work.interlock = Interlock("dr", targets, key, dr.place.sql, dr.place.s3)
    return work


def test_a_listed_site_is_tested(memory_estate: MemoryEstate, locked: RestoreTest) -> None:
    assert locked.run().reasons == ()
    require_cleared(memory_estate)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda e: setattr(e.servers.postgres["dr"], "identifier", "another"), "its database system is another; "),
        (lambda e: e.servers.objects["dr"].tags.clear(), "its bucket tag is no tag; "),
        (lambda e: e.site("dr").place.site._nodes["postgres"].kill(), "its database system cannot be read "),
    ],
)
def test_a_site_that_is_not_listed_is_refused_before_it_is_activated(
    memory_estate: MemoryEstate, locked: RestoreTest, fault: Fault, said: str
) -> None:
    fault(memory_estate)
    record = locked.run()
    assert record.verdict == "UNKNOWN"
    assert f"site dr refused as a drill target: {said}" in record.reasons[0]
    assert "2.2" not in memory_estate.messages()
    assert memory_estate.servers.postgres["dr"].databases == {}


def test_a_site_whose_services_run_is_refused_before_it_is_activated(
    memory_estate: MemoryEstate, locked: RestoreTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = type(memory_estate.fake.site("dr"))
    monkeypatch.setattr("harness.restore_test.preflight.ExistingSite", site)
    monkeypatch.setattr(site, "serves", lambda _site, node: node == "shop", raising=False)
    (reason,) = locked.run().reasons
    assert "site dr is in use: shop runs there; nothing was written to it" in reason
    assert locked.activated_at is None


def test_a_test_whose_key_functions_could_not_fail_is_refused_before_the_site_is_activated(
    memory_estate: MemoryEstate, gateway: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_estate.backed_up()
    passes = KeyFunction("the shop answers", "shop", "2.8.1", lambda _door: "greeted")
    monkeypatch.setattr(Shop, "key_functions", lambda *_words: (passes,))
    work = made(memory_estate, gateway, tmp_path)
    (reason,) = work.run().reasons
    assert "key function of shop asserts nothing: the shop answers" in reason
    assert work.activated_at is None


def test_a_site_that_holds_a_database_is_refused_and_keeps_it(memory_estate: MemoryEstate, locked: RestoreTest) -> None:
    memory_estate.servers.postgres["dr"].databases["billing"] = shop_database()
    record = locked.run()
    assert record.verdict == "UNKNOWN"
    assert "site dr is in use: it has the database billing; nothing was written to it" in record.reasons[0]
    assert list(memory_estate.servers.postgres["dr"].databases) == ["billing"]


def test_a_list_that_is_changed_while_the_site_is_scaled_up_is_refused_before_it_is_written_to(
    memory_estate: MemoryEstate, locked: RestoreTest
) -> None:
    assert locked.interlock is not None
    targets = locked.interlock.targets
    begun = locked.interlock.before()
    targets.write_text(targets.read_text() + "# one more\n")
    assert begun
    with pytest.raises(Refused, match="was changed after it was signed"):
        locked.interlock.after()
    assert memory_estate.servers.postgres["dr"].databases == {}


@pytest.mark.parametrize("other", ["unsigned", "other key", "no key"])
def test_a_list_that_nobody_signed_leaves_a_record_and_an_unchanged_site(
    memory_estate: MemoryEstate, locked: RestoreTest, other: str
) -> None:
    assert locked.interlock is not None
    lock = locked.interlock
    said = "unsigned allowlist of drill targets"
    if other == "unsigned":
        signature_of(lock.targets).unlink()
    elif other == "other key":
        signed(lock.targets, lock.targets.read_text(), by=OTHER[0])
        said = "which is not trusted here"
    else:
        locked.interlock = replace(lock, key=None)
        said = "no key is declared that the allowlist of drill targets is verified with"
    record = locked.run()
    assert record.verdict == "UNKNOWN"
    assert said in record.reasons[0]
    assert "2.2" not in memory_estate.messages()
    assert memory_estate.servers.postgres["dr"].databases == {}


def test_production_is_refused_though_it_is_listed(memory_estate: MemoryEstate, locked: RestoreTest) -> None:
    assert locked.interlock is not None
    production = Production(tags=frozenset({"the DR site"}))
    locked.interlock = replace(locked.interlock, production=lambda: production)
    record = locked.run()
    assert record.verdict == "UNKNOWN"
    assert "its bucket tag the DR site is production's; production is never a drill target" in record.reasons[0]
    assert "2.2" not in memory_estate.messages()
