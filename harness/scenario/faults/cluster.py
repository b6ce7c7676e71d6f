"""What can befall a cluster, by the word that the features use; each is done to the real thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from harness.core.clock import wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.journal import phase
from harness.drill.drill import Drill
from harness.estate.site import EstateSite
from harness.images.find import reference
from harness.kubernetes import disruption
from harness.patience import PATIENCE
from harness.services.notification.writer import survivors
from harness.substrate.kind.site import KindSite
from harness.substrate.kind.substrate import Kind, gateway_of
from harness.traffic.witness import served_by

if TYPE_CHECKING:
    from collections.abc import Iterator

AWAY = 10.0  # seconds that a control plane is away at first
IN_A_ROW = 10  # acknowledged writes after which clients are taken to be served again
DATABASE = "postgres"


def cluster_of(site: EstateSite) -> KindSite:
    """Return the cluster that a site is; raises HarnessError where it is none."""
    if not isinstance(site.site, KindSite):
        raise HarnessError(f"site {site.site.name} is no cluster: this cannot be drilled here")
    return site.site


def killed_pod(drill: Drill) -> None:
    """Kill the pod of the primary's database; its workload makes another."""
    if not disruption.kill_pods(cluster_of(drill.world.primary).api, DATABASE, PATIENCE.pod_evicted):
        raise HarnessError(f"{DATABASE} of the primary had no pod: nothing was learnt")


def drained_machine(drill: Drill) -> None:
    """Drain the primary's only machine, as before maintenance, and give it back."""
    site = cluster_of(drill.world.primary)
    machine = site.namespace.machine.name
    try:
        gone = disruption.drain(site.api, machine, PATIENCE.pod_evicted)
    finally:
        disruption.uncordon(site.api, machine)
    if not gone:
        raise HarnessError("the drained machine had no pods: nothing was learnt")


MISHAPS: Mapping[str, Callable[[Drill], None]] = {
    "a killed database pod": killed_pod,
    "a drained machine": drained_machine,
}


def suffer(drill: Drill, word: str) -> None:
    """Let the primary cluster suffer what `word` names. Raises HarnessError."""
    drill.journal.mark("mishap", "primary cluster", what=word)
    MISHAPS[word](drill)


def require_served_again(drill: Drill) -> None:
    """Clients are answered by the primary again, for some writes in a row. Raises TookTooLong."""
    before = len(drill.book.ledger.writes)

    def served() -> None:
        if (by := served_by(drill.world.door)) != "primary":
            raise HarnessError(f"clients are answered by {by}")
        since = [write.acked for write in drill.book.ledger.writes[before:]]
        while since and since[-1] is None:  # on its way
            since.pop()
        if len(since) < IN_A_ROW or None in since[-IN_A_ROW:]:
            raise HarnessError("clients' writes are not acknowledged")

    wait_until(served, patience=PATIENCE.cluster_heals, on=(HarnessError, OSError), what="clients served again")


def require_walled(drill: Drill) -> None:
    """A pod of DR was denied a connection to an address outside that its machine reaches; the journal says which."""
    substrate = drill.world.substrate
    if not isinstance(substrate, Kind):
        raise HarnessError("no clusters here: the egress filter of DR cannot be tested")
    outside = gateway_of(substrate.around.owned.outside)
    drill.journal.mark("walled", "dr cluster", proof=cluster_of(drill.world.dr).prove_egress_filter(outside))


def require_none_lost(drill: Drill) -> None:
    """Every acknowledged write is still there. Raises Finding with the numbers of those that are not."""
    if drill.writer is None:
        raise HarnessError("no clients were at work: nothing was acknowledged")
    drill.writer.stop()
    found = survivors(drill.world.door, drill.world.secrets.of("clients")["gateway-key"])
    lost = [entry.number for entry in drill.book.ledger.acknowledged() if entry.number not in found]
    if lost:
        raise Finding(f"acknowledged writes are lost: {', '.join(map(str, lost))}")


def lose_database_volume(site: EstateSite) -> None:
    """Lose the claim of a site's database with all in it: the site cannot serve any more."""
    cluster_of(site).lose_volume(DATABASE)


def recover_past_absence(drill: Drill) -> None:
    """Recover while DR's API server is away for the first seconds of the activation."""
    site = cluster_of(drill.world.dr)
    machine = site.namespace.machine
    with phase(drill.journal, "mishap"):  # so that no second of the recovery is without a name
        disruption.stop_api_server(machine)
    back = Timer(AWAY, disruption.start_api_server, (machine,))
    back.start()
    try:
        drill.recover()
    finally:
        back.join()


@contextmanager
def without_image(drill: Drill) -> Iterator[str]:
    """Take the notification service's image from DR's machine; yields what the failure must name."""
    site = cluster_of(drill.world.dr)
    image = reference("notifier")
    site.namespace.require_image("notifier")
    site.namespace.machine.forget_image(image)
    yield re.escape(image)


@contextmanager
def wrong_password(drill: Drill) -> Iterator[str]:
    """Let DR hold another password for the notification service than its database."""
    drill.world.secrets.put("dr", "notification-db", b"not the one")
    yield "notification on dr.*password authentication failed"


@contextmanager
def no_room(drill: Drill) -> Iterator[str]:
    """Let DR's machine take no more pods."""
    site = cluster_of(drill.world.dr)
    disruption.cordon(site.api, site.namespace.machine.name)
    yield "unschedulable"


@contextmanager
def no_control_plane(drill: Drill) -> Iterator[str]:
    """Take DR's API server away for good."""
    site = cluster_of(drill.world.dr)
    disruption.stop_api_server(site.namespace.machine)
    yield r"cluster bs-\S+-dr-cluster: its API server does not answer"


LACKS: Mapping[str, Callable[[Drill], AbstractContextManager[str]]] = {
    "an image is missing in the DR cluster": without_image,
    "the DR cluster holds a wrong password": wrong_password,
    "the DR cluster has no room for a pod": no_room,
    "the DR control plane never comes back": no_control_plane,
}


def recover_although(drill: Drill, word: str) -> str:
    """Attempt the recovery with that lack and return the pattern that its failure must match."""
    with ExitStack() as lacking:
        cause = lacking.enter_context(LACKS[word](drill))
        drill.attempt(drill.recover)
    return cause


def require_named(drill: Drill, cause: str) -> None:
    """The recovery failed with one line that names the cause. Raises Finding."""
    if not any(re.search(cause, finding) and "\n" not in finding for finding in drill.findings):
        raise Finding(f"no finding names {cause} in one line: {drill.findings or 'none'}")
