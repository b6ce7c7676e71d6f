"""V3: a site is lost when each of its nodes is seen to be gone, by a client of its own, and not before."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from fixtures import drill as fixture
from fixtures.allure_record import CONCLUDED
from harness.core.errors import Finding, HarnessError, Refused, TookTooLong
from harness.core.journal import MemoryJournal
from harness.core.node import Address, Freezable
from harness.drill.drill import Drill
from harness.drill.strike import Identity, Struck, strike
from harness.estate.config import load_config
from harness.estate.registry import build_services
from harness.estate.secrets import make_secrets
from harness.estate.site import EstateSite
from harness.patience import PATIENCE
from harness.postgres.identity import system_facts
from harness.s3.client import ensure_bucket, tag
from harness.scenario.faults.fault import Scene
from harness.services.gateway.app import Gateway
from harness.substrate.embedded.substrate import Embedded
from harness.traffic.answering import Voices, still_answering
from tests.memory_drill import start

pytestmark = pytest.mark.attacks
ROOT = Path(__file__).resolve().parents[2]
BUCKET = "kept"
Destroy = Callable[[EstateSite], None]


@pytest.fixture
def running(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    monkeypatch.setattr(PATIENCE, "strike_effect", 0.5)
    start(drill)
    drill.back_up()
    yield drill
    drill.close()


def kill(*names: str) -> Destroy:
    def destroy(site: EstateSite) -> None:
        for name in names:
            site.nodes[name].kill()

    return destroy


def test_a_drill_whose_primary_lives_on_in_part_is_unknown_and_names_the_part(running: Drill) -> None:
    running.strike(destroy=kill("shop", "postgres"))
    running.recover()
    record = running.conclude()
    assert record.verdict == "UNKNOWN", record.reasons
    assert [reason for reason in record.reasons if "site primary is not lost: node objects still answers" in reason]
    assert not [reason for reason in record.reasons if "postgres" in reason]


def test_each_node_is_witnessed_in_the_journal(running: Drill) -> None:
    running.strike()
    seen = {e.subject: e.facts["effect"] for e in running.journal.events if e.kind == "witness"}
    assert seen == {
        "primary": "clients are cut off",
        **dict.fromkeys(("objects", "postgres", "shop"), "does not answer"),
    }
    running.recover()
    assert running.conclude().verdict == "KEPT"


def test_a_node_that_cannot_be_asked_makes_the_strike_refused(running: Drill) -> None:
    """It would look dead afterwards, whatever the strike did."""
    running.environment.primary.nodes["objects"].isolated = True  # type: ignore[attr-defined]
    running.ask = lambda address: address != running.environment.primary.nodes["objects"].endpoint("s3").outside
    with pytest.raises(Refused, match="the end of objects could not be seen: no answer before it either"):
        running.strike()
    assert running.environment.primary.nodes


def test_a_site_that_is_lost_and_never_judged_ends_its_scenario(
    running: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(running, monkeypatch, {})
    running.strike()
    with pytest.raises(HarnessError, match="no Then asks for the verdict"):
        next(scene)
    assert running.record is not None
    assert running.record.verdict == "UNKNOWN"


def scene_of(running: Drill, monkeypatch: pytest.MonkeyPatch, stash: dict[object, object]) -> Generator[Scene]:
    """Return the fixture of a scenario with this drill, begun."""
    monkeypatch.setattr(fixture, "tell_outcome", lambda _node: None)
    request = SimpleNamespace(node=SimpleNamespace(stash=stash))
    scene: Generator[Scene] = fixture.scene.__wrapped__(request)  # type: ignore[attr-defined]
    next(scene).opened = running
    return scene


@pytest.mark.parametrize(
    ("verdict", "expected", "error"),
    [("BROKEN", "", Finding), ("UNKNOWN", "", HarnessError), ("KEPT", "BROKEN", Finding), ("BROKEN", "BROKEN", None)],
)
def test_a_verdict_that_no_sentence_expects_does_not_pass(
    running: Drill, monkeypatch: pytest.MonkeyPatch, verdict: str, expected: str, error: type[Exception] | None
) -> None:
    running.strike()
    running.recover()
    record = replace(running.conclude(), verdict=verdict, expected=expected)
    scene = scene_of(running, monkeypatch, {CONCLUDED: (running.folder, record)})
    if error is None:
        assert next(scene, None) is None
    else:
        with pytest.raises(error, match=f"judged {verdict}, not {expected or 'KEPT'}"):
            next(scene)


def test_a_fault_that_is_not_gone_leaves_no_promise_kept(running: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    running.strike()
    running.recover()
    assert running.conclude().verdict == "KEPT"
    scene = scene_of(running, monkeypatch, {})
    scene.gi_frame.f_locals["found"].later(not_undone)  # type: ignore[attr-defined]
    with pytest.raises(TookTooLong):
        next(scene)
    assert running.record is not None
    assert running.record.verdict == "UNKNOWN"
    assert "gone after its undo" in " ".join(running.record.unmet)


def not_undone() -> None:
    raise TookTooLong("fault 'a full disk': gone after its undo: not within 1 s")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EstateSite]:
    """Database, object store and gateway of a primary, real ones."""
    made = Embedded(tmp_path / "run", tmp_path / "logs")
    found = EstateSite(made.site("primary"), make_secrets(tmp_path / "secrets", ()).of("primary"), {})
    found.activate()
    ensure_bucket(found.place.s3, BUCKET)
    tag(found.place.s3, BUCKET, "an estate")
    gateway = next(s for s in build_services(load_config(ROOT / "estate.toml")) if isinstance(s, Gateway))
    found.start_service(gateway)
    yield found
    made.sweep()


def struck(site: EstateSite, destroy: Destroy) -> Struck:
    target = Identity(system_facts(site.place.sql).identifier, BUCKET, "an estate")
    counts = iter((0,))
    return strike(site, target, failures=lambda: next(counts, 9), journal=MemoryJournal(), destroy=destroy)


def freeze(*names: str) -> Destroy:
    def destroy(site: EstateSite) -> None:
        for name in names:
            node = site.nodes[name]
            assert isinstance(node, Freezable)
            node.freeze()

    return destroy


def named(living: tuple[str, ...]) -> list[str]:
    return [line.partition("node ")[2].partition(" ")[0] for line in living]


@pytest.mark.night
@pytest.mark.programs
@pytest.mark.parametrize(
    ("destroy", "living"),
    [
        (EstateSite.destroy, []),
        (kill("postgres"), ["gateway", "objects"]),
        (kill("gateway", "objects"), ["postgres"]),
        (freeze("gateway", "objects", "postgres"), []),
        (freeze("gateway", "postgres"), ["objects"]),
    ],
    ids=["all", "the database alone", "all but the database", "frozen", "the store lives"],
)
def test_real_programs_are_told_apart(
    site: EstateSite, monkeypatch: pytest.MonkeyPatch, destroy: Destroy, living: list[str]
) -> None:
    monkeypatch.setattr(PATIENCE, "strike_effect", 3.0)
    assert named(struck(site, destroy).living) == living


def test_a_connection_that_is_accepted_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PATIENCE, "node_answers", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = Address("127.0.0.1", server.getsockname()[1])
        assert not Voices()(address)  # the kernel accepted it, as for a frozen process
        Thread(target=close_all, args=(server,), daemon=True).start()
        assert not Voices()(address)  # as a proxy of a node that is gone
    assert not Voices()(address)


def close_all(server: socket.socket) -> None:
    for _ in range(20):
        try:
            server.accept()[0].close()
        except OSError:
            return


def test_a_node_that_answers_late_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PATIENCE, "node_answers", 2.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            taken = server.accept()[0]
            with closing(taken):
                taken.recv(64)
                taken.settimeout(0.3)
                taken.sendall(b"N")

        Thread(target=serve, daemon=True).start()
        assert Voices()(Address("127.0.0.1", server.getsockname()[1]))


@pytest.mark.parametrize(
    ("answers", "living"),
    [
        ([True, False, False, True, False, True], ["slow"]),  # a busy machine
        ([True, True, False, False, False, True], []),  # gone; what answers later is another
        ([False, False, True, False, False, True], ["slow"]),
    ],
)
def test_one_silence_is_not_the_end_of_a_node(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], living: list[str]
) -> None:
    monkeypatch.setattr(PATIENCE, "strike_effect", 2.0)
    said = iter(answers)
    found = still_answering({"slow": (Address("127.0.0.1", 1),)}, lambda _: next(said, answers[-1]))
    assert list(found) == living


def test_a_node_is_known_by_the_beginning_of_its_answer() -> None:
    """PostgreSQL says N and then complains, in one piece or in two, and is the same server either way."""
    said = [b"NE\x00\x00\x00\xd7SFATAL", b"N", b"N", b"NE\x00\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            for answer in said:
                with closing(server.accept()[0]) as taken:
                    taken.recv(64)
                    taken.sendall(answer)

        Thread(target=serve, daemon=True).start()
        ask, address = Voices(), Address("127.0.0.1", server.getsockname()[1])
        assert [ask(address) for _ in said] == [True, True, True, True, False]


def test_another_that_answers_at_the_address_of_a_node_is_not_the_node() -> None:
    """A network has a proxy that answers for every address, for that of a container that was cut off as well."""
    said = [b"HTTP/1.1 400 Bad Request\r\nDate: Sun, 29 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n"]
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    taken = server.accept()[0]
                except OSError:
                    return
                with closing(taken):
                    taken.recv(64)
                    taken.sendall(said[-1])

        Thread(target=serve, daemon=True).start()
        voices, address = Voices(), Address("127.0.0.1", server.getsockname()[1])
        assert voices(address)
        said.append(said[0].replace(b"10:00:00", b"10:00:07"))
        assert voices(address)
        said.append(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        assert not voices(address)
