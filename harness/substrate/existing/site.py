"""The substrate `existing`: a site that stands already. Nothing is made there and nothing is destroyed.

What has a workload is started by scaling it up and ended by scaling it back; what has none is only waited for. One-shot
work runs as a process of this machine, against the addresses at which the site answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.clock import wait_until
from harness.core.errors import HarnessError, Refused, TookTooLong, UsageError
from harness.core.node import Address, Endpoint, Node, NodeSpec, Running, Site, Task, Volume
from harness.patience import PATIENCE
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.common.probe import UNANSWERED, probe
from harness.substrate.existing.workloads import ByHand, Workloads

# What a drill does to a site and nobody may do to one that stands: named in the record, with what is done instead.
NOT_DRILLED = (
    "strike: nothing that stands is destroyed",
    "freeze: the nodes of an existing site are not ours to stop",
    "cut off: the network of an existing site is not ours to change",
    "full disk: the volumes of an existing site are not ours to fill",
)


@dataclass(slots=True)
class ExistingSite:
    """A site that stands already.

    `desk`: where one-shot work runs. `addresses`: node -> port -> where it answers. `folders`: volume -> where it is
    mounted here. `woken`: the nodes that were scaled up, in that order.
    """

    name: str
    desk: Site
    addresses: Mapping[str, Mapping[str, Address]]
    folders: Mapping[str, Path] = field(default_factory=dict)
    workloads: Workloads = field(default_factory=ByHand)
    woken: list[str] = field(default_factory=list)

    def serves(self, node: str) -> bool:
        """Whether a node is up: its workload asks for it, or it answers where it has none.

        Raises UsageError for a node of which neither is declared: nobody could start it, nor see that it runs.
        """
        asked = self.workloads.replicas(node)
        if asked is not None:
            return asked > 0
        for address in self.declared(node).values():
            try:
                probe(address, "", 0)
            except UNANSWERED:
                continue
            return True
        return False

    def declared(self, node: str) -> Mapping[str, Address]:
        """Return where a node without a workload answers, by port. Raises UsageError where nobody said."""
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
        """Start one-shot work on this machine; its volumes are those that are mounted here. Raises HarnessError."""
        argv = task.argv
        for name, folder in self.folders.items():
            argv = tuple(word.replace(f"@{{volume:{name}}}", str(folder)) for word in argv)
        rest = tuple(name for name in task.volumes if name not in self.folders)
        return self.desk.run(replace(task, argv=argv, volumes=rest))

    def volume(self, name: str) -> Volume:
        """Return the volume that is mounted here; one that is not mounted is a folder of this run alone."""
        folder = self.folders.get(name)
        if folder is None:
            return self.desk.volume(name)
        if not folder.is_dir():
            raise UsageError(f"volume {name} of {self.name}: {folder} is no folder here; mount it there")
        return FolderVolume(folder.resolve())

    def scale_down(self, but: Collection[str] = ()) -> None:
        """Scale back what was scaled up, last first, `but` some. Raises HarnessError for what does not end."""
        failed = []
        for node in [name for name in reversed(self.woken) if name not in but]:
            self.woken.remove(node)
            try:
                self.workloads.scale(node, 0, PATIENCE.workload_ready)
            except HarnessError as error:
                failed.append(str(error))
        if failed:
            raise HarnessError(f"site {self.name} was not put back as it was: {'; '.join(failed)}")

    def destroy(self) -> None:
        """Refuse: what stands is not ours to lose."""
        raise Refused(f"site {self.name} exists without us: it is never destroyed; strike: not drilled")


@dataclass(slots=True)
class ExistingNode:
    """A node of a site that stands already."""

    site: ExistingSite
    spec: NodeSpec

    @property
    def alive(self) -> bool:
        """Whether its workload asks for it; without one, whether it accepts a connection."""
        return self.site.serves(self.spec.name)

    def start(self) -> None:
        """Scale it up where it is at nothing, and return once it answers. Raises HarnessError.

        One that somebody else starts is waited for as long as its spec says.
        """
        workloads, name = self.site.workloads, self.spec.name
        asked = workloads.replicas(name)
        if asked is None:
            self.site.declared(name)
        else:
            if not asked:
                self.site.woken.append(name)
            workloads.scale(name, max(asked, 1), PATIENCE.workload_ready)
        try:
            patience = self.spec.ready.patience if asked is None else PATIENCE.existing_answers
            wait_until(self._probe, patience=patience, on=UNANSWERED, what=f"{name} on {self.site.name}: an answer")
        except TookTooLong as error:
            raise TookTooLong(f"{error}; see whether it is up, and its address under [existing]") from None

    def _probe(self) -> None:
        ready = self.spec.ready
        for port, address in self.site.addresses.get(self.spec.name, {}).items():
            probe(address, ready.path if port == ready.port else "", ready.status)

    def kill(self) -> None:
        """Refuse: what stands is not ours to kill."""
        raise Refused(f"{self.spec.name} on {self.site.name} exists without us: it is never killed")

    def endpoint(self, port: str) -> Endpoint:
        """Where its port of that name answers, for all alike; raises UsageError where nobody said."""
        address = self.site.addresses.get(self.spec.name, {}).get(port)
        if address is None:
            raise UsageError(f"{self.spec.name} on {self.site.name}: no address of its port {port} under [existing]")
        return Endpoint(address, address)
