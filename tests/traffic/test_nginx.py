from __future__ import annotations

import json
from threading import Event, Thread

import pytest

from harness.core.errors import HarnessError, Refused
from harness.core.node import Address, Site
from harness.traffic.door import Door
from harness.traffic.nginx import FrontDoor, ask_mark, configuration, front_spec, mark_of
from tests.traffic.backend import Backend

ADDRESSES = ("127.0.0.2", "127.0.0.3")
pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def opened(module_edge: Site) -> FrontDoor:
    spec = front_spec(module_edge, ADDRESSES, Address("127.0.0.1", 9), "nowhere")
    return FrontDoor(module_edge, module_edge.launch(spec))


@pytest.fixture
def front(opened: FrontDoor, primary: Backend) -> FrontDoor:
    opened.route(primary.address, "primary")
    return opened


def door_of(front: FrontDoor, address: str = ADDRESSES[0]) -> Door:
    return Door("www.shop.test", front.node.endpoint("http").outside.port, lambda _name: address)


def test_both_addresses_route_to_the_gateway_and_name_the_site(front: FrontDoor, primary: Backend) -> None:
    for address in ADDRESSES:
        answer = door_of(front, address).request("POST", "/path?a=b", json={"x": 1})
        assert answer.status == 200
        assert answer.headers["x-front-site"] == "primary"
        echoed = json.loads(answer.body)
        assert (echoed["path"], json.loads(echoed["body"])) == ("/path?a=b", {"x": 1})
        assert echoed["headers"]["host"] == f"www.shop.test:{front.node.endpoint('http').outside.port}"


def test_a_switch_under_load_loses_no_request(front: FrontDoor, primary: Backend, dr: Backend) -> None:
    answers: list[str] = []
    failed: list[str] = []
    switched, warm, done = Event(), Event(), Event()

    def load() -> None:
        door = door_of(front)
        while not done.is_set():
            began = "after" if switched.is_set() else "before"
            try:
                answer = door.request("POST", "/write", json={})
                site = answer.headers["x-front-site"]
                answers.append(f"{site} {began}")
                if json.loads(answer.body)["who"] != site:
                    failed.append(f"{site} was served by {answer.body!r}")
            except OSError as error:
                failed.append(repr(error))
            if answers.count("primary before") > 50:
                warm.set()
            if failed or answers.count("dr after") > 50:
                done.set()

    clients = [Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    assert warm.wait(20)
    status = front.route(dr.address, "dr")
    switched.set()
    for client in clients:
        client.join(20)
    assert not failed
    assert "primary after" not in answers
    assert done.is_set()
    assert (status.site, status.addresses) == ("dr", ADDRESSES)
    assert 0 < status.took < 5


def test_the_same_site_at_another_address_is_switched(front: FrontDoor, primary: Backend) -> None:
    with Backend("primary") as moved:
        front.route(moved.address, "primary")
        assert ask_mark(Address(ADDRESSES[1], front.node.endpoint("http").outside.port)) == mark_of(
            moved.address, "primary"
        )
        door_of(front).request("GET", "/moved")
        assert moved.seen == ["GET /moved"]
        assert primary.seen == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("events {}\nhttp { nonsense on; }\n", 'unknown directive "nonsense"'),
        ("events {}\nhttp { server { listen 127.0.0.2:99999; } }\n", "invalid port"),
        ("events {}\nhttp {", "unexpected end of file"),
        ("events {}\nhttp { upstream gone { server no.such.host.invalid; } }\n", "host not found"),
    ],
)
def test_a_bad_configuration_is_refused_and_the_old_one_stays_active(
    front: FrontDoor, primary: Backend, text: str, said: str
) -> None:
    with pytest.raises(Refused, match=f"nginx refuses.*{said}") as refused:
        front.route_raw(text)
    assert "\n" not in str(refused.value)
    assert door_of(front).request("GET", "/").headers["x-front-site"] == "primary"
    assert list(front.site.volume("front").walk()) == ["front.conf", "nginx.pid"]


def test_a_restart_keeps_the_last_switch(front: FrontDoor, primary: Backend, dr: Backend) -> None:
    front.route(dr.address, "dr")
    with pytest.raises(Refused):
        front.route_raw("nonsense;")
    front.node.kill()
    with pytest.raises(HarnessError, match="not running"):
        front.route(primary.address, "primary")
    with pytest.raises(ConnectionError):
        door_of(front).request("GET", "/")
    front.node.start()
    assert door_of(front, ADDRESSES[1]).request("GET", "/").headers["x-front-site"] == "dr"


def test_a_dead_gateway_is_answered_502_without_the_site_header(front: FrontDoor) -> None:
    with Backend("lost") as lost:
        front.route(lost.address, "lost")
    answer = door_of(front).request("GET", "/")
    assert answer.status == 502
    assert "x-site" not in answer.headers
    assert answer.headers["x-front-site"] == "lost"


def test_a_site_name_cannot_inject_configuration() -> None:
    with pytest.raises(Refused, match="no name of a site"):
        configuration(ADDRESSES, Address("127.0.0.1", 1), "dr; include /etc/x")
