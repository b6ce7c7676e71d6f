"""An existing site: connected to, never created and never destroyed.

A node with a workload is started by scaling it up and stopped by scaling it down; one without is only waited for.
Tasks run as processes of this machine, against the addresses of the site.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, Refused, TookTooLong, UsageError
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Site, Task, Volume
from harness.patience import PATIENCE
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.embedded.undo_journal import Undo, UndoJournal
from harness.substrate.existing.workloads import NoWorkloads, Workloads

# Faults that drills inject on other substrates, and that are never injected on an existing site: named in every record.
NOT_DRILLED = (
    "strike: an existing site is never destroyed",
    "freeze: the nodes of an existing site are never suspended",
    "network partition: the network of an existing site is never changed",
    "full disk: the volumes of an existing site are never filled",
)


@dataclass(slots=True)
class ExistingSite:
    """An existing site.

    `desk`: the site on which its tasks run. `addresses`: node -> port -> addresses, one of which has to answer.
    `folders`: volume -> its mount point on this machine. `scaled_up`: the nodes that were scaled up, in that order,
    and the id of each in the journal `undo`.
    """

    name: str
    desk: Site
    addresses: Mapping[str, Mapping[str, tuple[Address, ...]]]
    folders: Mapping[str, Path] = field(default_factory=dict)
    workloads: Workloads = field(default_factory=NoWorkloads)
    scaled_up: dict[str, str] = field(default_factory=dict)
    undo: UndoJournal | None = None

    def serves(self, node: str) -> bool:
        """Return whether a node is up: its workload has replicas, or it accepts connections where it has no workload.

        Raises UsageError for a node with neither workload nor address: it could not be started, nor seen to run.
        """
        replicas = self.workloads.replicas(node)
        if replicas is not None:
            return replicas > 0
        return any(_accepts(address) for addresses in self.declared(node).values() for address in addresses)

    def declared(self, node: str) -> Mapping[str, tuple[Address, ...]]:
        """Return the addresses of a node without a workload, by port. Raises UsageError where none is declared."""
        if not self.addresses.get(node):
            raise UsageError(
                f"{node} on {self.name}: neither its workload nor its address is declared; name it under "
                f"[existing.{self.name}.cluster.workloads] or [existing.{self.name}.services]"
            )
        return self.addresses[node]

    def launch(self, spec: NodeSpec) -> Node:
        """Scale the node's workload up, if it has one, and return once it is ready and answers. Raises HarnessError."""
        node = ExistingNode(self, spec)
        node.start()
        return node

    def run(self, task: Task) -> Running:
        """Start one-shot work on this machine, with the volumes that are mounted here. Raises HarnessError."""
        argv = task.argv
        for name, folder in self.folders.items():
            argv = tuple(word.replace(f"@{{volume:{name}}}", str(folder)) for word in argv)
        rest = tuple(name for name in task.volumes if name not in self.folders)
        return self.desk.run(replace(task, argv=argv, volumes=rest))

    def volume(self, name: str) -> Volume:
        """Return the volume that is mounted here; one that is not mounted is a folder of this run."""
        folder = self.folders.get(name)
        if folder is None:
            return self.desk.volume(name)
        if not folder.is_dir():
            raise UsageError(f"volume {name} of {self.name}: {folder} is no folder here; mount it there")
        return FolderVolume(folder.resolve())

    def note_scaled_up(self, node: str) -> None:
        """Note that a node is going to be scaled up from 0; on disk when this returns. Raises HarnessError."""
        undo = self.undo
        self.scaled_up[node] = "" if undo is None else undo.note(Undo.SCALE, site=self.name, node=node)

    def scale_down(self, but: Collection[str] = ()) -> None:
        """Scale the nodes that were scaled up to 0, last first, `but` some. Raises HarnessError for those that stay."""
        failed = []
        for node in [name for name in reversed(self.scaled_up) if name not in but]:
            noted = self.scaled_up.pop(node)
            try:
                self.workloads.scale(node, 0, PATIENCE.workload_ready)
                if self.undo is not None:
                    self.undo.undone(noted)
            except HarnessError as error:
                failed.append(str(error))
        if failed:
            raise HarnessError(f"site {self.name}: not all nodes were scaled down: {'; '.join(failed)}")

    def destroy(self) -> None:
        """Always raises Refused: an existing site is never destroyed."""
        raise Refused(f"site {self.name} is an existing site: it is never destroyed; strike: not drilled")


@dataclass(slots=True)
class ExistingNode:
    """A node of an existing site."""

    site: ExistingSite
    spec: NodeSpec

    @property
    def alive(self) -> bool:
        """Whether its workload has replicas; without a workload, whether it accepts connections."""
        return self.site.serves(self.spec.name)

    def start(self) -> None:
        """Scale it up from 0 and wait for its answer, as long as its spec says. Raises HarnessError."""
        workloads, name = self.site.workloads, self.spec.name
        replicas = workloads.replicas(name)
        if replicas is None:
            self.site.declared(name)
        else:
            if not replicas:
                self.site.note_scaled_up(name)
            workloads.scale(name, max(replicas, 1), PATIENCE.workload_ready)
        try:
            patience = self.spec.ready.patience if replicas is None else PATIENCE.existing_answers
            wait_until(self._probe, patience=patience, on=UNANSWERED, what=f"{name} on {self.site.name}: an answer")
        except TookTooLong as error:
            raise TookTooLong(f"{error}; check that it is up, and its address under [existing]") from None

    def _probe(self) -> None:
        ready = self.spec.ready
        for port, addresses in self.site.addresses.get(self.spec.name, {}).items():
            first = next(filter(_accepts, addresses), addresses[0])
            probe(first, ready.path if port == ready.port else "", ready.status)

    def kill(self) -> None:
        """Always raises Refused: a node of an existing site is never killed."""
        raise Refused(f"{self.spec.name} on {self.site.name}: a node of an existing site is never killed")

    def endpoint(self, port: str) -> Endpoint:
        """Return the address of its port of that name; raises UsageError where none is declared."""
        addresses = self.site.addresses.get(self.spec.name, {}).get(port)
        if addresses is None:
            raise UsageError(f"{self.spec.name} on {self.site.name}: no address of its port {port} under [existing]")
        return Endpoint(addresses[0], addresses[0])


def is_elsewhere(site: Site, volume: str) -> bool:
    """Return whether a volume is one of an existing site and has no folder on this machine."""
    return isinstance(site, ExistingSite) and volume not in site.folders


def _accepts(address: Address) -> bool:
    """Return whether a connection to `address` is accepted."""
    try:
        probe(address, "", 0)
    except UNANSWERED:
        return False
    return True
