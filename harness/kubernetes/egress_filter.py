"""Egress filter: pods of a site reach their cluster and the drill's own machine, and nothing else.

A restored copy of production must not act on the outside world. The manifests have NetworkPolicies for that; where no
network plug-in enforces them, this filter does: iptables of the cluster's node, which every packet of a pod passes.
"""

import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import HarnessError
from harness.kubernetes.machine import Machine

PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/12"  # address ranges of kind
CHAIN = "BLACKSTART-EGRESS"
NAMES = 53  # DNS is denied too: queries can carry data out
DENIED = "denied"
TRIED = 3  # seconds

BUILD = """
set -e
iptables -w -N {chain} 2>/dev/null || iptables -w -F {chain}
iptables -w -A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
iptables -w -A {chain} -d {pods} -j RETURN
iptables -w -A {chain} -d {services} -j RETURN
for kind in udp tcp; do
  iptables -w -A {chain} -p $kind --dport {names} -j REJECT --reject-with icmp-admin-prohibited
done
for host in {allowed}; do iptables -w -A {chain} -d $host -j RETURN; done
iptables -w -A {chain} -j REJECT --reject-with icmp-admin-prohibited
iptables -w -D FORWARD -s {pods} -j {chain} 2>/dev/null || true
iptables -w -I FORWARD 1 -s {pods} -j {chain}
"""
WALL = "an egress filter on the cluster's node: pods reach their cluster and this machine"
REFUSALS = f"iptables -w -nvxL {CHAIN}"
REACH = "timeout {tried} bash -c 'exec 3<>/dev/tcp/{host}/{port}' && echo reached || echo denied"


def build(machine: Machine, allowed: tuple[str, ...]) -> None:
    """Install the filter, or replace it; `allowed`: outside addresses that pods may reach. Raises HarnessError."""
    hosts = " ".join(map(shlex.quote, allowed))
    machine.execute(BUILD.format(chain=CHAIN, pods=PODS, services=SERVICES, names=NAMES, allowed=hosts))


def refused(machine: Machine) -> int | None:
    """Return how many packets of all pods it refused since it was installed, None when the node does not say."""
    try:
        lines = [line.split() for line in machine.execute(REFUSALS).splitlines()]
        return sum(int(words[0]) for words in lines if "REJECT" in words)
    except (HarnessError, ValueError):
        return None


def reached(machine: Machine, host: str, port: int, *, pid: str = "") -> bool:
    """Return whether the node, or the pod of its process `pid`, can connect to an address. Raises HarnessError."""
    script = REACH.format(tried=TRIED, host=host, port=port)
    inside = f"nsenter --target {int(pid)} --net -- sh -c {shlex.quote(script)}" if pid else script
    return machine.execute(f"{inside} 2>/dev/null").endswith("reached")


def process_of(machine: Machine, task: str) -> str:
    """Return the pid, in the node, of the first process of a pod's container. Raises HarnessError."""
    for line in machine.execute("ctr -n k8s.io task ls").splitlines():
        words = line.split()
        if words and words[0] == task:
            return words[1]
    raise HarnessError(f"{machine.name}: has no container {task}; its pod was replaced, try again")


@contextmanager
def listener(host: str) -> Iterator[int]:
    """Listen on an address of this machine and yield the port. Raises HarnessError."""
    try:
        with socket.create_server((host, 0)) as server:
            yield int(server.getsockname()[1])
    except OSError as error:
        raise HarnessError(f"{host}: cannot listen there ({error.strerror}); egress filter not tested") from None


def prove(machine: Machine, task: str, outside: str, allowed: str) -> str:
    """Return a line for the record: a pod's connection to `outside` was denied although a server listens there.

    Both are addresses of this machine; `allowed` is one that pods may reach. Raises HarnessError when the filter lets
    the connection through, and when the result is inconclusive because no address was reached.
    """
    pid = process_of(machine, task)
    with listener(outside) as port, listener(allowed) as open_port:
        if not reached(machine, outside, port):
            raise HarnessError(
                f"{machine.name}: the node itself cannot reach {outside}:{port}; the egress filter cannot be tested"
            )
        if not reached(machine, allowed, open_port, pid=pid):
            raise HarnessError(
                f"{machine.name}: egress filter too strict: pod cannot reach allowed address {allowed}:{open_port}"
            )
        if reached(machine, outside, port, pid=pid):
            raise HarnessError(f"{machine.name}: egress filter failed: a pod reached {outside}:{port}")
    return f"a connection from a pod to {outside}:{port} was {DENIED}; the node itself reaches it"
