"""Graceful stop: a program gets its stop signal, and is killed when it ignores it."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.node import Node, NodeSpec, Ready, Stoppable
from tests.substrate.substrates_under_test import EmbeddedUnderTest, python

pytestmark = pytest.mark.programs

# Ready once its handler is set; a signal that comes while it sleeps wakes it.
PROGRAM = """
import pathlib, signal, socket, sys
port, folder, refuses = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "refuses"

def leave(number, frame):
    (folder / "asked").write_text(signal.Signals(number).name)
    if not refuses:
        sys.exit(0)

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, leave)
with socket.create_server(("127.0.0.1", port)):
    while True:
        signal.pause()
"""


def spec(manner: str) -> NodeSpec:
    argv = python(PROGRAM, "@{port:talk}", "@{volume:data}", manner)
    return NodeSpec("server", argv, ports=("talk",), volumes=("data",), ready=Ready(port="talk", patience=20))


def stop(node: Node, patience: float) -> float:
    """Return the seconds it took."""
    assert isinstance(node, Stoppable)
    began = SYSTEM.monotonic()
    node.stop(patience)
    return SYSTEM.monotonic() - began


def asked(embedded: EmbeddedUnderTest) -> str:
    path: Path = embedded.substrate.site("primary").folder / "volumes/data/asked"
    return path.read_text() if path.exists() else "nothing"


def code_of(node: Node) -> int | None:
    child = getattr(node, "child", None)
    assert child is not None
    code: int | None = child.returncode
    return code


@pytest.mark.parametrize("number", ["TERM", "INT"])
def test_a_program_ends_gracefully_at_its_stop_signal(embedded: EmbeddedUnderTest, number: str) -> None:
    node = embedded.substrate.site("primary").launch(replace(spec("obeys"), stop_signal=number))
    assert stop(node, 20) < 10
    assert (asked(embedded), code_of(node), node.alive) == (f"SIG{number}", 0, False)


def test_a_program_that_ignores_its_stop_signal_is_killed(embedded: EmbeddedUnderTest) -> None:
    node = embedded.substrate.site("primary").launch(spec("refuses"))
    assert 0.3 <= stop(node, 0.3) < 10
    assert (asked(embedded), code_of(node), node.alive) == ("SIGTERM", -signal.SIGKILL, False)
    assert embedded.living() == 0


def test_a_killed_program_gets_no_stop_signal(embedded: EmbeddedUnderTest) -> None:
    node = embedded.substrate.site("primary").launch(spec("obeys"))
    node.kill()
    assert (asked(embedded), code_of(node)) == ("nothing", -signal.SIGKILL)
