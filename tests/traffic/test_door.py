from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import pytest

from harness.core.clock import SYSTEM
from harness.core.service import PublicDoor
from harness.traffic.door import Door
from harness.traffic.witness import served_by
from tests.traffic.backend import Backend


class Here:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, name: str) -> str:
        self.asked.append(name)
        return "127.0.0.1"


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture
def door(primary: Backend, here: Here) -> Door:
    return Door("www.shop.test", primary.address.port, here)


def test_it_is_a_public_door(door: Door) -> None:
    used: PublicDoor = door
    assert served_by(used) == "primary"


def test_each_request_resolves_anew_and_names_the_public_name(door: Door, here: Here) -> None:
    told = [json.loads(door.request("GET", "/a", headers={"X-Extra": "1"}).body) for _ in range(2)]
    assert here.asked == ["www.shop.test"] * 2
    assert told[0]["headers"]["host"] == f"www.shop.test:{door.port}"
    assert told[0]["headers"]["x-extra"] == "1"
    assert told[0]["headers"]["connection"] == "close"


def test_json_is_sent_as_json(door: Door) -> None:
    told = json.loads(door.request("POST", "/a", json={"word": "Grüße"}).body)
    assert json.loads(told["body"]) == {"word": "Grüße"}
    assert told["headers"]["content-type"] == "application/json"


def test_cookies_are_shared_within_a_session_only(door: Door) -> None:
    def cookies(session: str) -> str | None:
        headers = json.loads(door.request("GET", "/", session=session).body)["headers"]
        found: str | None = headers.get("cookie")
        return found

    assert cookies("clerk") is None
    assert cookies("clerk") == "seen=primary"
    assert cookies("another") is None
    assert cookies("") is None
    assert cookies("") is None


def test_a_redirect_is_shown_and_not_followed(door: Door, primary: Backend) -> None:
    answer = door.request("GET", "/away")
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert primary.seen == ["GET /away"]


def test_an_answer_cut_short_is_no_answer(door: Door) -> None:
    with pytest.raises(ConnectionError, match="broken answer"):
        door.request("GET", "/cut")


def test_nobody_there_is_a_connection_error(here: Here) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError):
        Door("www.shop.test", port, here).request("GET", "/")


@pytest.fixture(params=[b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def trickling(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that says one byte now and then, and never comes to an end."""
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


def test_patience_is_for_the_whole_answer(trickling: int, here: Here) -> None:
    begin = SYSTEM.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.5 s"):
        Door("www.shop.test", trickling, here).request("GET", "/", patience=0.5)
    assert 0.4 < SYSTEM.monotonic() - begin < 2
