from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import pytest

from harness.core.clock import SYSTEM
from harness.core.service import PublicDoor
from harness.traffic.door import Door, served_by
from tests.traffic.backend import Backend


class RecordingResolver:
    def __init__(self) -> None:
        self.names: list[str] = []

    def resolve(self, name: str) -> str:
        self.names.append(name)
        return "127.0.0.1"


@pytest.fixture
def resolver() -> RecordingResolver:
    return RecordingResolver()


@pytest.fixture
def door(primary: Backend, resolver: RecordingResolver) -> Door:
    return Door("www.shop.test", primary.address.port, resolver.resolve)


def test_it_is_a_public_door(door: Door) -> None:
    used: PublicDoor = door
    assert served_by(used) == "primary"


def test_each_request_resolves_the_name_and_sends_it_as_host(door: Door, resolver: RecordingResolver) -> None:
    echoed = [json.loads(door.request("GET", "/a", headers={"X-Extra": "1"}).body) for _ in range(2)]
    assert resolver.names == ["www.shop.test"] * 2
    assert echoed[0]["headers"]["host"] == f"www.shop.test:{door.port}"
    assert echoed[0]["headers"]["x-extra"] == "1"
    assert echoed[0]["headers"]["connection"] == "close"


def test_json_is_sent_as_json(door: Door) -> None:
    echoed = json.loads(door.request("POST", "/a", json={"word": "Grüße"}).body)
    assert json.loads(echoed["body"]) == {"word": "Grüße"}
    assert echoed["headers"]["content-type"] == "application/json"


def test_cookies_are_shared_only_within_a_session(door: Door) -> None:
    def cookies(session: str) -> str | None:
        headers = json.loads(door.request("GET", "/", session=session).body)["headers"]
        found: str | None = headers.get("cookie")
        return found

    assert cookies("clerk") is None
    assert cookies("clerk") == "seen=primary"
    assert cookies("another") is None
    assert cookies("") is None
    assert cookies("") is None


def test_a_redirect_is_not_followed(door: Door, primary: Backend) -> None:
    answer = door.request("GET", "/away")
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert primary.seen == ["GET /away"]


def test_a_truncated_answer_is_a_connection_error(door: Door) -> None:
    with pytest.raises(ConnectionError, match="broken answer"):
        door.request("GET", "/cut")


def test_a_closed_port_is_a_connection_error(resolver: RecordingResolver) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError):
        Door("www.shop.test", port, resolver.resolve).request("GET", "/")


@pytest.fixture(params=[b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def trickling(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that sends a byte now and then, and never finishes its answer."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(5)

    def trickle() -> None:
        with closing(server), server.accept()[0] as client:
            try:
                client.sendall(request.param)
                while True:
                    if request.param:
                        client.sendall(b".")
                    client.settimeout(0.1)
                    try:
                        if not client.recv(4096):
                            return
                    except TimeoutError:
                        continue
            except OSError:
                return

    thread = Thread(target=trickle, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    thread.join(5)


def test_patience_limits_the_whole_answer(trickling: int, resolver: RecordingResolver) -> None:
    begin = SYSTEM.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.5 s"):
        Door("www.shop.test", trickling, resolver.resolve).request("GET", "/", patience=0.5)
    assert 0.4 < SYSTEM.monotonic() - begin < 2
