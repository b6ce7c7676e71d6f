from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import Finding, HarnessError
from harness.core.node import Address, Site
from harness.core.service import S3, Place, Route, Service, Sql
from harness.services.gateway.app import Gateway
from harness.services.gateway.configuration import Limits
from harness.services.gateway.kind import htpasswd
from harness.substrate.embedded.substrate import Embedded
from harness.traffic.door import Door, basic_auth, served_by
from tests.servers import secret_files
from tests.services.doors import door_of
from tests.traffic.backend import Backend

KEY = "0123456789abcdef0123456789abcdef"
ROUTES = (
    Route("/", "odoo", strip=False, auth=False),
    Route("/webhook", "n8n", strip=False, auth=True),
    Route("/notify", "notification", strip=True, auth=True, ready="/notify/ready"),
    Route("/absent", "absent", strip=True, auth=False),
)
NOWHERE = Address("127.0.0.1", 9)
pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def site(substrate: Embedded) -> Site:
    return substrate.site("dr")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    values = {"gateway-users": htpasswd("clients", KEY), "gateway-key": KEY, "wrong-key": "another"}
    return secret_files(tmp_path_factory.mktemp("secrets"), values)


@pytest.fixture(scope="module")
def behind() -> Iterator[dict[str, Backend]]:
    with Backend("odoo") as odoo, Backend("n8n") as n8n, Backend("notification") as notification:
        yield {"odoo": odoo, "n8n": n8n, "notification": notification}


@pytest.fixture(scope="module")
def place(site: Site, secrets: Mapping[str, str], behind: dict[str, Backend]) -> Place:
    sql, s3 = Sql(NOWHERE, NOWHERE, "nobody", "env:NONE"), S3(NOWHERE, NOWHERE, "env:NONE", "env:NONE")
    return Place(site, sql, s3, secrets, {name: backend.address for name, backend in behind.items()})


@pytest.fixture(scope="module")
def door(place: Place) -> Door:
    service: Service = Gateway(routes=ROUTES, needs=("odoo", "n8n", "notification"))
    return door_of(place.site.launch(service.nodes(place)[0]))


@pytest.fixture
def clients(secrets: Mapping[str, str]) -> Mapping[str, str]:
    return basic_auth(secrets["gateway-key"])


def answer_of(door: Door, path: str, headers: Mapping[str, str]) -> dict[str, object]:
    answer = door.request("GET", path, headers=headers)
    assert answer.status == 200, answer
    found: dict[str, object] = json.loads(answer.body)
    return found


def test_requests_without_the_key_are_refused(
    door: Door, behind: dict[str, Backend], secrets: Mapping[str, str]
) -> None:
    seen = len(behind["notification"].seen)
    for headers in ({}, basic_auth(secrets["wrong-key"])):
        for path in ("/notify/ready", "/notify", "/webhook/order"):
            assert door.request("GET", path, headers=headers).status == 401
    assert len(behind["notification"].seen) == seen


def test_each_path_is_routed_to_its_service(door: Door, clients: Mapping[str, str]) -> None:
    for path, who, arrived in (
        ("/", "odoo", "/"),
        ("/web/login?db=shop", "odoo", "/web/login?db=shop"),
        ("/notifyme", "odoo", "/notifyme"),
        ("/webhook/order", "n8n", "/webhook/order"),
        ("/notify/ready", "notification", "/ready"),
        ("/notify/messages?prefix=a%20b", "notification", "/messages?prefix=a%20b"),
    ):
        found = answer_of(door, path, clients)
        assert (found["who"], found["path"]) == (who, arrived)


def test_services_get_the_public_name_and_not_the_key(door: Door, clients: Mapping[str, str]) -> None:
    headers = answer_of(door, "/notify/ready", clients)["headers"]
    assert isinstance(headers, dict)
    assert "authorization" not in headers
    assert headers["host"] == f"www.shop.test:{door.port}"
    assert headers["x-forwarded-for"] == "127.0.0.1"


def test_every_answer_has_the_site_header(door: Door) -> None:
    for path, status in (("/", 200), ("/notify/ready", 401), ("/.gateway/ping", 200)):
        answer = door.request("GET", path)
        assert (answer.status, answer.headers["x-site"]) == (status, "dr")
    assert served_by(door) == "dr"


def test_a_service_that_is_not_running_has_no_route(place: Place) -> None:
    empty = replace(place, peers={}, secrets={})
    node = place.site.launch(Gateway(name="gateway-empty", routes=ROUTES).nodes(empty)[0])
    door = door_of(node)
    answer = door.request("GET", "/notify/ready")
    assert (answer.status, answer.headers["x-site"]) == (503, "dr")
    assert served_by(door) == "dr"


def test_a_dead_service_is_answered_502_with_the_site_header(place: Place) -> None:
    with Backend("gone") as gone:
        peers = {"odoo": gone.address}
    node = place.site.launch(Gateway(name="gateway-dead", routes=ROUTES).nodes(replace(place, peers=peers))[0])
    answer = door_of(node).request("GET", "/")
    assert (answer.status, answer.headers["x-site"]) == (502, "dr")


def test_too_many_requests_are_answered_429(place: Place) -> None:
    gateway = Gateway(name="gateway-slow", routes=ROUTES, limits=Limits(average=1, burst=5))
    door = door_of(place.site.launch(gateway.nodes(place)[0]))
    statuses = [door.request("GET", "/").status for _ in range(12)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses[5:]
    assert served_by(door) == "dr"  # the probe for the site has no rate limit


def test_the_key_function_passes_and_reports_both_answers(door: Door, secrets: Mapping[str, str]) -> None:
    (function,) = Gateway(routes=ROUTES).key_functions(secrets)
    assert (function.message, function.service) == ("2.8", "gateway")
    assert function.check(door) == "GET /notify/ready: 401 without the key, 200 with it"


def test_an_open_gateway_is_a_finding(place: Place, secrets: Mapping[str, str]) -> None:
    left_open = tuple(replace(route, auth=False) for route in ROUTES)
    door = door_of(place.site.launch(Gateway(name="gateway-open", routes=left_open).nodes(place)[0]))
    (function,) = Gateway(routes=ROUTES).key_functions(secrets)
    with pytest.raises(Finding, match="without the key: answered 200, not 401"):
        function.check(door)


def test_a_key_that_is_rejected_is_a_finding(door: Door, secrets: Mapping[str, str]) -> None:
    (function,) = Gateway(routes=ROUTES).key_functions({"gateway-key": secrets["wrong-key"]})
    with pytest.raises(Finding, match="with the key: answered 401"):
        function.check(door)


def test_missing_secrets_are_named(place: Place) -> None:
    with pytest.raises(HarnessError, match="site dr has no secret 'gateway-users'"):
        Gateway(routes=ROUTES).nodes(replace(place, secrets={}))
    with pytest.raises(HarnessError, match="no secret 'gateway-key'"):
        Gateway(routes=ROUTES).key_functions({})


def test_the_node_specification_contains_no_secret(place: Place, secrets: Mapping[str, str]) -> None:
    text = repr(Gateway(routes=ROUTES).nodes(place))
    users = Path(secrets["gateway-users"].removeprefix("file:")).read_text().strip()
    assert KEY not in text
    assert users.partition(":")[2] not in text


def test_version_checks_and_usage_statistics_are_off(place: Place) -> None:
    static = json.loads(Gateway(routes=ROUTES).nodes(place)[0].files["traefik.yml"])
    assert static["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}


class ClosesIdle(BaseHTTPRequestHandler):
    """Answers the first request of a connection, and closes the connection at the second one."""

    protocol_version = "HTTP/1.1"
    answered = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.answered:
            self.close_connection = True
            return
        self.answered = True
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


def test_an_idle_connection_is_closed_before_the_service_closes_it(place: Place) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ClosesIdle)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        peers = {"odoo": Address("127.0.0.1", server.server_address[1])}
        gateway = Gateway(name="gateway-idle", routes=ROUTES)
        door = door_of(place.site.launch(gateway.nodes(replace(place, peers=peers))[0]))
        first = door.request("POST", "/")
        SYSTEM.sleep(1.5)  # less than between two rounds of key functions
        assert (first.status, door.request("POST", "/").status) == (200, 200)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
