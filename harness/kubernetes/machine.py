"""Access to the node of a cluster without its API server: its container, containerd in it, a root shell."""

import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from harness.core.errors import HarnessError
from harness.images.engine import engine, explained
from harness.images.inside import execute

CLUSTER = "io.x-k8s.kind.cluster"  # the label that kind gives to its containers
CTR = "ctr -n k8s.io"
# What is paused or has ended already is left alone. The runtime gives a freeze up where processes are starting, as on a
# busy machine: tried again.
PAUSE = """
for try in $(seq 20); do
  for id in {ids}; do {ctr} task pause $id; done 2>/tmp/refused.$$
  listed=$({ctr} task ls 2>>/tmp/refused.$$) || {{ sleep 0.1; continue; }}
  left=$(echo "$listed" | grep -E '{pattern}' | grep RUNNING) || exit 0
  sleep 0.1
done
echo "still running: $left: $(tail -n 1 /tmp/refused.$$)" | tr '\n' ' '; exit 1
"""
RESUME = """
for id in {ids}; do {ctr} task resume $id; done 2>/dev/null
listed=$({ctr} task ls 2>&1) || {{ echo "$listed"; exit 1; }}
! echo "$listed" | grep -E '{pattern}' | grep PAUS
"""
THAW = "for id in $({ctr} task ls | awk '/PAUS/ {{print $1}}'); do {ctr} task resume $id; done"
# A killed container has ended once containerd no longer lists it as running.
KILL = """
for id in {ids}; do {ctr} task kill -s SIGKILL -a $id; {ctr} task resume $id; done 2>/dev/null
for try in $(seq 100); do
  listed=$({ctr} task ls 2>/dev/null) || {{ sleep 0.05; continue; }}
  echo "$listed" | grep -E '{pattern}' | grep -qE 'RUNNING|PAUSED|PAUSING' || exit 0
  sleep 0.05
done
echo still running; exit 1
"""
# All containers of a pod, its sandbox included: that ends when the kubelet has removed the pod. Until then the kubelet
# may not know that the pod was deleted, and restarts killed containers.
AWAIT_REMOVED = """
of() {{ for uid in {uids}; do {ctr} containers ls -q "labels.\\"io.kubernetes.pod.uid\\"==$uid$1"; done; }}
for try in $(seq 150); do
  listed=$({ctr} task ls 2>/dev/null) || {{ sleep 0.1; continue; }}
  echo "$listed" | awk '$3 ~ /RUNNING|PAUS/ {{print $1}}' >/tmp/alive.$$
  of | grep -qxFf /tmp/alive.$$ || exit 0
  for id in $(of ',labels."io.cri-containerd.kind"==container' | grep -xFf /tmp/alive.$$); do
    {ctr} task kill -s SIGKILL -a $id; {ctr} task resume $id
  done 2>/dev/null
  sleep 0.1
done
echo still running; exit 1
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """The container that is the only node of a cluster."""

    name: str

    def execute(self, script: str) -> str:
        """Run a shell script in it as root and return its output. Raises HarnessError with its last line."""
        with explained(self.name):
            code, output = execute(self._container(), ["sh", "-c", script])
        text = str(output.decode(errors="replace")).strip()
        if code:
            raise HarnessError(f"{self.name}: ended with code {code}: {text.rpartition(chr(10))[2] or 'silent'}")
        return text

    def pause(self, tasks: Iterable[str]) -> None:
        """Pause containers of pods (cgroup freezer). Raises HarnessError."""
        self._run(PAUSE, tasks)

    def resume(self, tasks: Iterable[str]) -> None:
        """Resume those containers of pods that are paused. Raises HarnessError."""
        self._run(RESUME, tasks)

    def kill(self, tasks: Iterable[str]) -> None:
        """SIGKILL containers of pods, paused or not; return once they have ended. Raises HarnessError."""
        self._run(KILL, tasks)

    def await_removed(self, pods: Iterable[str]) -> None:
        """Return once deleted pods are removed, by uid; restarted containers are killed. Raises HarnessError."""
        uids = " ".join(map(shlex.quote, pods))
        if uids:
            self.execute(AWAIT_REMOVED.format(uids=uids, ctr=CTR))

    def import_image(self, path: str) -> None:
        """Import the images of an archive that is in the node. Raises HarnessError."""
        self.execute(f"{CTR} images import --all-platforms --digests {shlex.quote(path)} 2>&1")

    def forget_image(self, reference: str) -> None:
        """Remove an image from the node; its containers keep running. Raises HarnessError."""
        found = self.execute(f"{CTR} images ls -q").splitlines()
        doomed = [line for line in found if line.endswith(reference) or line == reference]
        if not doomed:
            raise HarnessError(f"{self.name}: has no image {reference}; nothing was removed")
        self.execute(f"{CTR} images rm --sync {' '.join(map(shlex.quote, doomed))}")

    def address(self, network: str) -> str:
        """Return its address on a network of the engine. Raises HarnessError."""
        try:
            found = self._container().attrs["NetworkSettings"]["Networks"]
            return str(found[network]["IPAddress"])
        except KeyError:
            raise HarnessError(f"{self.name}: is not on network {network}") from None

    @property
    def exists(self) -> bool:
        """Whether the container exists, running or not."""
        try:
            self._container()
        except HarnessError:
            return False
        return True

    def destroy(self) -> None:
        """SIGKILL it and remove it with its volumes; one that does not exist is no error. Raises HarnessError."""
        if _freezer_withstands_kill():
            with suppress(HarnessError):  # it does not run, or not any more
                self.execute(THAW.format(ctr=CTR))
        with explained(f"{self.name}: cannot be removed"), suppress(NotFound):
            try:
                engine().containers.get(self.name).remove(force=True, v=True)
            except APIError as error:
                if "already in progress" not in str(error):
                    raise

    def _run(self, script: str, tasks: Iterable[str]) -> None:
        ids = tuple(map(shlex.quote, tasks))
        if ids:
            self.execute(script.format(ids=" ".join(ids), ctr=CTR, pattern="|".join(ids)))

    def _container(self) -> Container:
        with explained(self.name):
            try:
                return engine().containers.get(self.name)
            except NotFound:
                raise HarnessError(f"{self.name}: does not exist; its cluster was destroyed or never created") from None


@cache
def _freezer_withstands_kill() -> bool:
    """Return whether what is paused cannot be killed, nor a node with such a pod: with cgroups v1."""
    with explained("container engine"):
        return str(engine().info().get("CgroupVersion", "")) == "1"


def machines(prefix: str) -> tuple[Machine, ...]:
    """Return the containers of all clusters whose name begins with `prefix`. Raises HarnessError."""
    with explained("clusters"):
        found = engine().containers.list(all=True, filters={"label": CLUSTER}, ignore_removed=True)
    return tuple(Machine(str(c.name)) for c in found if c.labels.get(CLUSTER, "").startswith(prefix))
