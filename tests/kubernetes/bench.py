"""A pair of clusters on which the conformance suite can work, test after test."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.node import Node
from harness.substrate.kind.substrate import Kind
from tests.substrate.benches import SCRIPTS, said_by


@dataclass(frozen=True)
class KindBench:
    substrate: Kind
    image: str = "blackstart"

    def argv(self, program: str, *args: str) -> tuple[str, ...]:
        # Work in a cluster takes longer to begin, and to be frozen, than on a machine of one's own.
        script = SCRIPTS[program].replace("sleep(0.3)", "sleep(3)")
        return ("python3", "-I", "-S", "-c", script, *args)

    def ask(self, node: Node) -> bytes:
        return said_by(node)

    def log(self, name: str) -> str:
        return (self.substrate.logs / f"{name}.log").read_text()

    def living(self) -> int:
        return sum(self.substrate.cluster_site(name).living() for name in ("primary", "dr"))

    def empty(self) -> None:
        for name in ("primary", "dr"):
            self.substrate.cluster_site(name).empty()
