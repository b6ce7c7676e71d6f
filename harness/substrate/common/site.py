"""Base classes of nodes and sites: one running node for each name, launched, replaced and suspended."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, NodeExited, TookTooLong
from harness.core.node import Endpoint, NodeSpec
from harness.patience import PATIENCE
from harness.substrate.common.filesystem import plain
from harness.substrate.common.logs import last_lines, tail
from harness.substrate.common.ports import on_free_ports


@dataclass(slots=True)
class BaseNode(ABC):
    """A node. `where`: its name in errors, `odoo on dr`; `begin`: starts it and returns once it is ready."""

    spec: NodeSpec
    where: str
    ports: Mapping[str, Any] = field(repr=False)
    endpoints: Mapping[str, Endpoint]
    log: Path
    begin: Callable[[Any], None] = field(repr=False)
    _follower: Thread | None = field(default=None, repr=False, kw_only=True)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether its process or container exists, frozen or not. Raises HarnessError when that cannot be found out."""

    @property
    def exit_code(self) -> int | None:
        """Its exit code after it ended, None where it is not known."""
        return None

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL it and all processes that it started; its volumes and ports are kept. Raises HarnessError."""

    @abstractmethod
    def freeze(self) -> None:
        """Suspend all its processes: they exist, and answer nothing. Raises HarnessError."""

    @abstractmethod
    def thaw(self) -> None:
        """Resume its processes; what is not suspended is left alone. Raises HarnessError."""

    @abstractmethod
    def discard(self) -> None:
        """Free its name and its ports after it ended: it is not started again. Raises HarnessError."""

    def start(self) -> None:
        """Start it and return once it is ready; a running node is left alone. Raises HarnessError."""
        if not self.alive:
            self.begin(self)

    def endpoint(self, port: str) -> Endpoint:
        """Return the addresses of its port of that name; raises HarnessError for a name it does not have."""
        if port not in self.endpoints:
            raise HarnessError(f"{self.spec.name} has no port {port!r}; it has {', '.join(self.endpoints) or 'none'}")
        return self.endpoints[port]

    def follow(self, copy: Callable[..., None], *arguments: object) -> None:
        """Run `copy`, which writes its output into its log, in a thread that `flush` joins."""
        self._follower = Thread(target=copy, args=arguments, daemon=True)
        self._follower.start()

    def flush(self) -> None:
        """Wait until its last output is in its log."""
        if self._follower is not None:
            self._follower.join(PATIENCE.log_flush)
            self._follower = None

    def last_log(self) -> tuple[str, ...]:
        """Return the last lines of its log, oldest first, without empty ones."""
        return tail(self.log)

    def await_ready(self, ask: Callable[[], None], unanswered: tuple[type[Exception], ...]) -> None:
        """Return once `ask` succeeds; it raises one of `unanswered` until then.

        A node that does not get ready is killed: raises NodeExited or TookTooLong, with the last lines of its log.
        """

        def answers() -> None:
            self._require_alive()
            ask()
            self._require_alive()  # otherwise another program answered

        try:
            wait_until(answers, patience=self.spec.ready.patience, on=unanswered, what=f"{self.where}: ready")
        except NodeExited:
            self.kill()
            raise
        except TookTooLong as error:
            self.kill()
            raise TookTooLong(f"{error}; its log ends: {last_lines(self.log)}") from None

    def _require_alive(self) -> None:
        if not self.alive:
            self.flush()
            code = self.exit_code
            said = f"{self.where} ended with code {code} before it was ready: {last_lines(self.log)}"
            raise NodeExited(said, code)


N = TypeVar("N", bound=BaseNode)


@dataclass(slots=True)
class BaseSite(ABC, Generic[N]):
    """A site: at most one running node of each name."""

    name: str
    _nodes: dict[str, N] = field(default_factory=dict, kw_only=True)
    _lock: Lock = field(default_factory=Lock, repr=False, kw_only=True)

    @abstractmethod
    def _make(self, spec: NodeSpec) -> N:
        """Return a node that is not started yet, with ports of its own."""

    @abstractmethod
    def _start(self, node: N) -> None:
        """Start a node and return once it is ready. Raises HarnessError."""

    def launch(self, spec: NodeSpec) -> N:
        """Start one node and return it once it is ready. Raises HarnessError with its last log lines."""
        return on_free_ports(lambda: self._launch(spec))

    def _launch(self, spec: NodeSpec) -> N:
        with self._lock:
            former = self._nodes.get(plain("node", spec.name))
            if former is not None and former.alive:
                raise HarnessError(f"{former.where}: already running; kill it before it is launched again")
            node = self._nodes[spec.name] = self._make(spec)
        if former is not None:
            former.discard()
        node.start()
        return node

    def _begin(self, node: N) -> None:
        if self._nodes.get(node.spec.name) is not node:
            raise HarnessError(f"{node.where}: lost with its site, or replaced; launch it again")
        self._start(node)

    def freeze(self) -> None:
        """Suspend all processes of all its nodes. Raises HarnessError."""
        for node in tuple(self._nodes.values()):
            node.freeze()

    def thaw(self) -> None:
        """Resume all processes of all its nodes. Raises HarnessError."""
        for node in tuple(self._nodes.values()):
            node.thaw()

    def _forget_nodes(self) -> tuple[N, ...]:
        """Return all nodes and forget them: they cannot be started again."""
        with self._lock:
            nodes = tuple(self._nodes.values())
            self._nodes.clear()
            return nodes
