"""The writes of the estate's own clients: declared, sent, read back, found on a restored server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.core.errors import Finding, HarnessError
from harness.core.service import Answer
from harness.estate.config import Config
from harness.estate.registry import client_load, load_service
from harness.traffic.ledger_writer import NotAcknowledged
from tests.servers import secret_files

SITES = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
OWN: dict[str, Any] = {
    "kind": "http",
    "command": ["python3"],
    "databases": ["own"],
    "prefix": "/own",
    "keys": [{"path": "/own", "contains": "x"}],
}
CLIENTS: dict[str, Any] = {
    "write": {"method": "POST", "path": "/own/entries", "json": {"said": "write @{number}", "n": "@{number}"}},
    "status": 201,
    "read": {"path": "/own/entries"},
    "numbers": "write ([0-9]+)",
    "restored": {"database": "own", "query": "SELECT said FROM entries"},
}


def declare(own: Mapping[str, object] = OWN, **clients: object) -> Config:
    services = {"own": own, "gateway": {"kind": "gateway"}, "notification": {"kind": "notification"}}
    estate = {"name": "shop", "zone": "shop.test"}
    return Config.model_validate(
        {"estate": estate, "sites": SITES, "services": services, "clients": {**CLIENTS, **clients}}
    )


@dataclass
class Program:
    """A public door to a program that keeps what is written. `status`: of its answers to writes."""

    status: int = 201
    entries: list[dict[str, object]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        self.keys.append((headers or {}).get("Authorization", ""))
        if method == "GET":
            return Answer(200 if path == "/own/entries" else 404, self._listed(), {})
        if self.status == 201:
            self.entries.append(self._parsed(body))
        return Answer(self.status, b"", {})

    def _listed(self) -> bytes:
        return json.dumps({"entries": [*self.entries, {"said": "other words"}]}).encode()

    def _parsed(self, body: bytes | None) -> dict[str, object]:
        found: dict[str, object] = json.loads(body or b"{}")
        return found


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    return secret_files(tmp_path, {"gateway-key": "value of gateway-key"})


def test_a_write_carries_its_number_and_is_acknowledged_by_its_status(secrets: dict[str, str]) -> None:
    load, program = client_load(declare()), Program()
    assert load is not None
    send = load.sender(program, secrets)
    assert [send(number) for number in (1, 12)] == [True, True]
    assert program.entries[1] == {"said": "write 12", "n": 12}  # a string that is the number alone stays a number
    assert load.survivors(program, secrets) == {1, 12}
    assert all(key.startswith("Basic ") for key in program.keys)
    program.status = 503
    with pytest.raises(NotAcknowledged, match=r"POST /own/entries: answered 503, not 20[01]: "):
        send(13)
    assert load.survivors(program, secrets) == {1, 12}


@pytest.mark.parametrize(
    ("read", "numbers"),
    [
        ({"path": "/own/entries", "values": "entries[*].said"}, "write ([0-9]+)"),
        ({"path": "/own/entries?all=1"}, "write ([0-9]+)"),
    ],
)
def test_numbers_are_read_from_a_list_or_from_the_whole_text(
    secrets: dict[str, str], read: dict[str, str], numbers: str
) -> None:
    load, program = client_load(declare(read=read, numbers=numbers)), Program()
    assert load is not None
    load.sender(program, secrets)(7)
    if "?" in read["path"]:
        with pytest.raises(Finding, match=r"clients.read: GET /own/entries\?all=1: answered 404, not 200"):
            load.survivors(program, secrets)
    else:
        assert load.survivors(program, secrets) == {7}


def test_the_key_is_sent_where_the_service_wants_it() -> None:
    load, program = client_load(declare({**OWN, "auth": False})), Program()
    assert load is not None
    assert load.sender(program, {})(1)
    assert program.keys == [""]
    with_key = client_load(declare())
    assert with_key is not None
    with pytest.raises(HarnessError, match="clients: no secret 'gateway-key'"):
        with_key.sender(program, {})


def test_declared_writes_take_the_place_of_those_of_a_kind() -> None:
    assert load_service(declare()) == "own"
    assert load_service(declare().model_copy(update={"clients": None})) == "notification"


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ({"write": {**CLIENTS["write"], "path": "/ownership"}}, "clients.write.path: no service is at /ownership"),
        ({"read": {"path": "/elsewhere"}}, "clients.read.path: no service is at /elsewhere; prefixes of services: /no"),
        ({"write": {"method": "POST", "path": "/own", "json": {}}}, "no @{number} in it, so that writes cannot"),
        ({"write": {**CLIENTS["write"], "body": "@{number}"}}, "has json and body; a request has one body"),
        ({"write": {**CLIENTS["write"], "path": "/own/@{new}"}}, "@{new}: unknown in a request; known: @{number}"),
        ({"read": {"path": "/own/@{number}"}}, "@{number}: unknown in a request"),
        ({"numbers": "write [0-9]+"}, "has 0 groups; put the number into one"),
        ({"numbers": "("}, "is no regular expression"),
        ({"restored": {"database": "owm", "query": "SELECT 1"}}, "no service has 'owm'; did you mean 'own'?"),
        ({"status": 500}, "less than or equal to 299"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused(clients: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        declare(OWN, **clients)
    assert said in str(caught.value)


def test_data_that_two_services_declare_is_refused() -> None:
    files = {**OWN, "files": [{"volume": "u"}], "buckets": [{"name": "scans"}]}
    other = {**OWN, "prefix": "/other", "keys": [{"path": "/other", "contains": "x"}]}
    for worker, said in (
        ({**other, "files": [{"volume": "u"}]}, "services.worker: volume u, folder / is declared by own as well"),
        ({**other, "buckets": [{"name": "scans"}]}, "services.worker: bucket scans is declared by own as well"),
    ):
        with pytest.raises(ValidationError, match=said):
            Config.model_validate(
                {
                    "estate": {"name": "shop", "zone": "shop.test"},
                    "sites": SITES,
                    "services": {"own": files, "worker": worker},
                }
            )
