"""The way out of containers: a network whose default gateway is an address that nobody has.

Containers reach their peers and this machine, which are on the same link, and nothing beyond. A port can only be
published on a network with a gateway, so an internal network does not serve. Containers have no capability to change
their routes. Source: the auxiliary address `DefaultGatewayIPv4` of the engine's bridge driver.
"""

from collections.abc import Callable
from ipaddress import ip_network

from docker.errors import APIError
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from harness.core.errors import HarnessError

Make = Callable[[IPAMConfig | None], Network]  # from the addresses of a network, None: the engine chooses them

GATEWAY = "DefaultGatewayIPv4"
OVERLAPS = "overlaps"  # in the engine's refusal of a range of addresses that another network has
TRIES = 5
WALL = "containers have no gateway: they reach their site and this machine"
COUNTS = "/proc/net/snmp"  # of the container; each packet that found no gateway is an unreachable host to itself


def closed(create: Make) -> Network:
    """Return a new network made by `create`, without a way out. Raises APIError, HarnessError.

    The engine chooses a free range of addresses for a first network, which is removed; the second one has that range.
    """
    for _ in range(TRIES):
        first = create(None)
        pool = ip_network(first.attrs["IPAM"]["Config"][0]["Subnet"])
        first.remove()
        nobody = str(pool.broadcast_address - 1)
        try:
            made = create(IPAMConfig(pool_configs=[IPAMPool(str(pool), None, str(pool[1]), {GATEWAY: nobody})]))
        except APIError as error:
            if OVERLAPS not in str(error):
                raise
            continue  # another run was quicker
        return made
    raise HarnessError("container engine: other networks take every range of addresses; try again")


def nobody_of(network: Network) -> str:
    """Return the address of such a network that nobody has: the gateway of its containers. Raises HarnessError."""
    for found in network.attrs["IPAM"]["Config"] or ():
        if address := (found.get("AuxiliaryAddresses") or {}).get(GATEWAY):
            return str(address)
    raise HarnessError(f"network {network.name}: has a way out; remove it, another version of blackstart made it")


def gateway_of(network: Network) -> str:
    """Return the address of this machine on a network of the engine. Raises HarnessError where it has none."""
    for found in network.attrs["IPAM"]["Config"] or ():
        if "Gateway" in found:
            return str(found["Gateway"])
    raise HarnessError(f"network {network.name}: this machine has no address on it; containers cannot reach the drill")


def refused(text: str) -> int | None:
    """Return how many packets a container could not send, from the text of COUNTS; None when it does not say.

    A connection that is tried is one packet, a name that is asked for several. Source: proc_net_snmp of the kernel,
    `IcmpMsg: OutType3`, which the kernel leaves out while it is 0.
    """
    lines = [line.split() for line in text.splitlines()]
    names = {line[0]: (line[1:], values[1:]) for line, values in zip(lines[::2], lines[1::2], strict=False) if line}
    if "Icmp:" not in names:
        return None
    listed, values = names.get("IcmpMsg:", ([], []))
    return int(dict(zip(listed, values, strict=False)).get("OutType3", 0))
