"""What a declared estate lacks is named: services that are not contained, messages without a service."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.core.errors import UsageError
from harness.drill.scope import missing, not_drilled
from harness.estate.config import Config
from harness.estate.registry import absent_messages, build_services, client_load, entry_of, not_contained, store_clients

SITES = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
OWN = {"kind": "http", "command": ["python3"], "prefix": "/own", "keys": [{"path": "/own", "contains": "x"}]}


def declare(**services: Mapping[str, object]) -> Config:
    return Config.model_validate(
        {"estate": {"name": "shop", "zone": "shop.test"}, "sites": SITES, "services": services}
    )


def test_a_service_that_nothing_contains_is_named_in_the_record() -> None:
    config = declare(own=OWN, gateway={"kind": "gateway"}, notification={"kind": "notification"})
    services = build_services(config)
    said = "containment: own is not contained; kind http has no containment"
    assert not_contained(config, services) == (said,)
    assert said in not_drilled(config, services, (), scheduled=True)


def test_the_entry_and_services_with_a_containment_are_not_named() -> None:
    config = declare(gateway={"kind": "gateway"}, shop={"kind": "odoo"}, flows={"kind": "n8n"})
    assert not_contained(config, build_services(config)) == ()


def test_messages_without_a_service_are_excused_and_named() -> None:
    config = declare(gateway={"kind": "gateway"}, shop={"kind": "odoo"})
    assert absent_messages(config) == {"n8n": ("2.6.2", "2.6.2.1", "2.8.2")}
    assert "2.6.2, 2.6.2.1, 2.8.2: no n8n in this estate" in not_drilled(config, (), (), scheduled=True)
    left = missing(config, (), scheduled=True)
    assert "2.6.1" in left
    assert not {"2.6.2", "2.8.2", "2.9", "2.10"} & set(left)


def test_a_backup_by_hand_is_named_and_excuses_the_trigger() -> None:
    config = declare(gateway={"kind": "gateway"})
    assert "1.1: the backup was not taken by the schedule" in not_drilled(config, (), (), scheduled=False)
    assert "1.1" not in missing(config, (), scheduled=False)
    assert "1.1" in missing(config, (), scheduled=True)


def test_an_estate_without_an_entry_is_refused() -> None:
    with pytest.raises(UsageError, match="estate shop: no service takes client requests; declare one of kind gateway"):
        entry_of(declare(own=OWN))
    assert client_load(declare(own=OWN)) is None


def test_a_service_to_which_no_client_writes_is_named() -> None:
    line = "data loss of own: no client of the drill writes to it"
    config = declare(own=OWN, gateway={"kind": "gateway"}, notification={"kind": "notification"}, shop={"kind": "odoo"})
    assert [one for one in not_drilled(config, (), (), scheduled=True) if one.startswith("data loss")] == [line]
    assert [one.name for one in store_clients(config)] == ["notification attachments", "shop orders"]
