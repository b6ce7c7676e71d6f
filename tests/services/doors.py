"""Clients of one node for tests, in place of DNS, front door and gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import requests

from harness.core.node import Node
from harness.core.service import Answer
from harness.traffic.door import Door


def door_of(node: Node) -> Door:
    """Return the public door of a node that listens on its port `http`."""
    return Door("www.shop.test", node.endpoint("http").outside.port, lambda _name: "127.0.0.1")


@dataclass
class DirectDoor:
    """The public door of a service, which does the gateway's work: it checks and removes the key and the prefix."""

    node: Node
    prefix: str = ""
    key: str = ""  # the header that is required, "" for none
    _door: Door = field(init=False)

    def __post_init__(self) -> None:
        self._door = door_of(self.node)

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
        assert path.startswith(self.prefix)
        kept = dict(headers or {})
        if kept.pop("Authorization", "") != self.key and self.key:
            return Answer(401, b"no key", {})
        path = path.removeprefix(self.prefix)
        return self._door.request(method, path, json=json, body=body, headers=kept, session=session, patience=patience)


def ask(node: Node, method: str, path: str, data: object = None) -> Answer:
    """Send one request with JSON, or with bytes as they are."""
    url = f"http://{node.endpoint('http').outside}{path}"
    body = {"data": data} if isinstance(data, bytes) else {"json": data}
    with requests.request(method, url, timeout=10, **body) as answer:
        return Answer(answer.status_code, answer.content, {k.lower(): v for k, v in answer.headers.items()})
