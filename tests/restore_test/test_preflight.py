"""Preflight refuses a restore test on a listed DR site that is in use."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from harness.core.errors import Refused, UsageError
from harness.core.node import Address
from harness.core.service import Answer
from harness.postgres.server import connect
from harness.restore_test.preflight import require_empty, require_no_service_running, require_own_gateway
from harness.services.notification.app import Notification
from harness.substrate.common.ports import LOOPBACK
from harness.substrate.existing.site import ExistingSite
from harness.substrate.existing.workloads import NoWorkloads
from tests.estate.existing_servers import ExistingServers


class ScaledToZero(NoWorkloads):
    def replicas(self, node: str) -> int | None:
        return 0


class AllRunning(NoWorkloads):
    def replicas(self, node: str) -> int | None:
        return 1


@pytest.mark.programs
def test_a_server_with_a_database_is_refused(existing: ExistingServers) -> None:
    place = existing.site.place
    require_empty(place)
    with connect(place.sql) as connection:
        connection.execute("CREATE DATABASE client_data")
        try:
            with pytest.raises(Refused, match="is in use: it has the database client_data; nothing was written to it"):
                require_empty(place)
        finally:
            connection.execute("DROP DATABASE client_data")


@pytest.mark.programs
def test_a_site_whose_services_run_is_refused(existing: ExistingServers) -> None:
    site = existing.estate().site
    assert isinstance(site, ExistingSite)
    with pytest.raises(UsageError, match=r"notification on dr: neither its workload nor its address is declared; name"):
        require_no_service_running(site, (Notification(),))
    require_no_service_running(replace(site, workloads=ScaledToZero()), (Notification(),))
    with pytest.raises(Refused, match="site dr is in use: notification runs there"):
        require_no_service_running(replace(site, workloads=AllRunning()), (Notification(),))


@pytest.mark.programs
def test_a_running_service_without_a_workload_is_refused(existing: ExistingServers) -> None:
    site = existing.estate().site
    assert isinstance(site, ExistingSite)
    with socket.create_server((LOOPBACK, 0)) as server:
        at = Address(*server.getsockname())
        site = replace(site, addresses={"notification": {"http": (at,)}})
        with pytest.raises(Refused, match="site dr is in use: notification runs there"):
            require_no_service_running(site, (Notification(),))
    require_no_service_running(site, (Notification(),))


class GatewayDoor:
    """A door to a gateway that answers with these headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    def request(self, *_words: object, **_more: object) -> Answer:
        return Answer(200, b"", self.headers)


@pytest.mark.parametrize(
    ("headers", "said"), [({"x-site": "primary"}, "is of site primary"), ({}, "of an unnamed site")]
)
def test_a_gateway_that_is_not_the_sites_own_is_refused(headers: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=f"the gateway at gate:80 .*{said}, not of dr; correct its address"):
        require_own_gateway(GatewayDoor(headers), "dr", Address("gate", 80))
    require_own_gateway(GatewayDoor({"x-site": "dr"}), "dr", Address("gate", 80))
