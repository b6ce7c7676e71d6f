"""V4: a key function that could not fail is refused before anything is started, whatever the kind of its service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.service import KeyFunction, PublicDoor, Service
from harness.drill.drill import Drill
from harness.estate.config import Config, load_config
from harness.estate.kinds import KINDS
from harness.estate.registry import build_services
from harness.recovery.key_functions import require_asserting
from tests.memory_drill import drill_of
from tests.memory_estate import MemoryEstate

pytestmark = pytest.mark.attacks
ROOT = Path(__file__).resolve().parents[2]
ESTATES = sorted((ROOT / "estate.toml", *ROOT.glob("features/estates/*.toml"), ROOT / "examples/gallery/estate.toml"))


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_text("c2VjcmV0\n")
    return dict.fromkeys(("gateway-key", "odoo-admin", "shop-token"), f"file:{tmp_path / 'secret'}")


def test_the_key_functions_of_every_kind_can_fail(secrets: dict[str, str]) -> None:
    seen = set()
    for file in ESTATES:
        config = load_config(file)
        require_asserting(build_services(config), secrets)
        seen |= {table.kind for table in config.services.values()}
    assert seen == set(KINDS)


@dataclass(frozen=True)
class Replaced:
    """A service whose first key function is another one."""

    service: Service
    check: Callable[[PublicDoor], str]

    def key_functions(self, secrets: dict[str, str]) -> tuple[KeyFunction, ...]:
        first, *others = self.service.key_functions(secrets) or (KeyFunction("a call", self.service.name, "2.8", str),)
        return (replace(first, check=self.check), *others)


def nothing(_door: PublicDoor) -> str:
    return "fine"


def any_answer(door: PublicDoor) -> str:
    return f"answered {door.request('GET', '/').status}"


def status_alone(door: PublicDoor) -> str:
    if door.request("POST", "/orders", json={}).status not in (200, 201):
        raise UsageError("another status")
    return "accepted"


@pytest.mark.parametrize("check", [nothing, any_answer, status_alone])
@pytest.mark.parametrize("kind", ["gateway", "http", "n8n", "notification", "odoo"])
def test_one_that_asserts_nothing_is_refused_by_name(
    secrets: dict[str, str], kind: str, check: Callable[[PublicDoor], str]
) -> None:
    def of_kind(config: Config) -> list[Service]:
        return [s for s in build_services(config) if config.services[s.name].kind == kind]

    service = next(found for file in ESTATES for found in of_kind(load_config(file)))
    with pytest.raises(UsageError, match=f"^key function of {service.name} asserts nothing: .* it passes where every"):
        require_asserting([Replaced(service, check)], secrets)  # type: ignore[list-item]


def test_an_estate_without_key_functions_is_refused(secrets: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no key function is declared"):
        require_asserting([], secrets)


def test_the_drill_is_refused_before_anything_is_started(
    memory_estate: MemoryEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill: Drill = drill_of(memory_estate, tmp_path)
    monkeypatch.setattr(drill.environment, "services", (Replaced(memory_estate.shop, nothing),))
    with pytest.raises(UsageError, match="asserts nothing: the shop answers"):
        drill.start()
    assert not drill.environment.primary.nodes
