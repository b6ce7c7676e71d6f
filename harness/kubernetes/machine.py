"""A cluster's node from below: the container that it is, and what runs in it, past the API server."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from harness.core.errors import HarnessError
from harness.images.engine import engine, explained
from harness.images.inside import execute

CLUSTER = "io.x-k8s.kind.cluster"  # the label that kind gives to its containers
CTR = "ctr -n k8s.io"
# A task that was killed is gone when containerd no longer calls it running.
KILL = """
for id in {ids}; do {ctr} task kill -s SIGKILL -a $id; {ctr} task resume $id; done 2>/dev/null
for try in $(seq 100); do
  {ctr} task ls | grep -E '{pattern}' | grep -qE 'RUNNING|PAUSED|PAUSING' || exit 0
  sleep 0.05
done
echo still running; exit 1
"""
# What belongs to a pod, its sandbox too: that one ends when the kubelet has let go of the pod. Until then the kubelet
# may not know that the pod was deleted, and starts again what was killed.
LET_GO = """
of() {{ for uid in {uids}; do {ctr} containers ls -q "labels.\\"io.kubernetes.pod.uid\\"==$uid$1"; done; }}
for try in $(seq 150); do
  {ctr} task ls | awk '$3 ~ /RUNNING|PAUS/ {{print $1}}' >/tmp/alive.$$
  of | grep -qxFf /tmp/alive.$$ || exit 0
  for id in $(of ',labels."io.cri-containerd.kind"==container' | grep -xFf /tmp/alive.$$); do
    {ctr} task kill -s SIGKILL -a $id; {ctr} task resume $id
  done 2>/dev/null
  sleep 0.1
done
echo still running; exit 1
"""
# A paused container lets nobody begin work in it: first the work must be there, beside what waits and the headline.
PAUSE_WORK = """
for id in {ids}; do
  for try in $(seq 50); do [ $({ctr} task ps $id | wc -l) -gt 2 ] && break; sleep 0.1; done
  {ctr} task pause $id || exit 1
done
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """The container that is a node of a cluster of one."""

    name: str

    def execute(self, script: str) -> str:
        """Run a script of the shell in it as root and return what it writes. Raises HarnessError with its last line."""
        with explained(self.name):
            code, output = execute(self._container(), ["sh", "-c", script])
        text = str(output.decode(errors="replace")).strip()
        if code:
            raise HarnessError(f"{self.name}: ended with code {code}: {text.rpartition(chr(10))[2] or 'silent'}")
        return text

    def pause(self, tasks: Iterable[str]) -> None:
        """Stop containers of pods in mid-thought. Raises HarnessError."""
        self._each("pause", tasks)

    def pause_work(self, tasks: Iterable[str]) -> None:
        """Stop containers in which work is done on behalf of `kubectl exec`, once it has begun. Raises HarnessError."""
        self.execute(PAUSE_WORK.format(ids=" ".join(map(shlex.quote, tasks)), ctr=CTR))

    def resume(self, tasks: Iterable[str]) -> None:
        """Let them go on. Raises HarnessError."""
        self._each("resume", tasks)

    def kill(self, tasks: Iterable[str]) -> None:
        """End containers of pods with no chance to tidy up, frozen or not; returns once they are gone."""
        ids = tuple(map(shlex.quote, tasks))
        if ids:
            self.execute(KILL.format(ids=" ".join(ids), ctr=CTR, pattern="|".join(ids)))

    def let_go(self, pods: Iterable[str]) -> None:
        """Kill what is still started of deleted pods, by uid, and return once the kubelet has let go of them."""
        uids = " ".join(map(shlex.quote, pods))
        if uids:
            self.execute(LET_GO.format(uids=uids, ctr=CTR))

    def import_image(self, path: str) -> None:
        """Make the images of an archive that lies in the node known to the cluster. Raises HarnessError."""
        self.execute(f"{CTR} images import --all-platforms --digests {shlex.quote(path)} 2>&1")

    def forget_image(self, reference: str) -> None:
        """Take an image from the node; what runs from it runs on. Raises HarnessError."""
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
        """Whether there is such a container, running or not."""
        try:
            self._container()
        except HarnessError:
            return False
        return True

    def destroy(self) -> None:
        """Kill it and remove it with its volumes; one that is gone is left alone. Raises HarnessError."""
        with explained(f"{self.name}: cannot be removed"), suppress(NotFound):
            try:
                engine().containers.get(self.name).remove(force=True, v=True)
            except APIError as error:
                if "already in progress" not in str(error):
                    raise

    def _each(self, verb: str, tasks: Iterable[str]) -> None:
        ids = tuple(map(shlex.quote, tasks))
        if ids:
            self.execute(f"for id in {' '.join(ids)}; do {CTR} task {verb} $id || exit 1; done")

    def _container(self) -> Container:
        with explained(self.name):
            try:
                return engine().containers.get(self.name)
            except NotFound:
                raise HarnessError(f"{self.name}: is not there; its cluster was lost or never made") from None


def machines(prefix: str) -> tuple[Machine, ...]:
    """Return the containers of all clusters whose name begins with `prefix`. Raises HarnessError."""
    with explained("clusters"):
        found = engine().containers.list(all=True, filters={"label": CLUSTER}, ignore_removed=True)
    return tuple(Machine(str(c.name)) for c in found if c.labels.get(CLUSTER, "").startswith(prefix))
