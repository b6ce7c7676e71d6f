"""Traffic switch, message 2.7, at the public edge: front door and name service, outside both sites."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.node import Address, Site
from harness.core.service import PublicDoor
from harness.estate.config import Config
from harness.patience import PATIENCE
from harness.traffic.dns import NameServer, dns_spec
from harness.traffic.door import Door, served_by
from harness.traffic.nginx import FrontDoor, front_spec

REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reached:
    """An address that clients may hold, and the site that answers them there; REFUSED where nothing takes them."""

    address: str
    site: str


@dataclass(frozen=True, slots=True)
class RoutingStatus:
    """Site and address that new connections and DNS queries reach. `reached`: every address that clients may hold."""

    front: str
    address: str
    reached: tuple[Reached, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Front door, name service, and a client of both."""

    front: FrontDoor
    names: NameServer
    door: PublicDoor
    host: str
    public_name: str

    def switch(self, site: str, upstream: Address, address: str) -> RoutingStatus:
        """Route both to `site`; return what clients reach. Raises Refused by the front door, else HarnessError."""
        self.front.route(upstream, site)
        self.names.switch(self.host, address)

        def answered() -> RoutingStatus:
            try:
                found, by = self.names.resolve(self.public_name), served_by(self.door)
            except OSError as error:
                raise NotYet(f"the front door does not answer: {error}") from error
            if found != address or by != site:
                raise NotYet(f"{self.public_name} is {found}, answered by {by}")
            reached = self.reached()
            if wrong := [f"{one.address} leads to {one.site}" for one in reached if one.site not in (site, REFUSED)]:
                raise NotYet(f"clients that hold an older address are not led to {site}: {', '.join(wrong)}")
            return RoutingStatus(by, found, reached)

        return wait_until(
            answered, patience=PATIENCE.traffic_switch, on=(NotYet, HarnessError), what="the switch of traffic"
        )

    def reached(self) -> tuple[Reached, ...]:
        """Return what answers at each edge address: clients hold the old one as long as they cache names.

        Raises NotYet for an address at which something answers that names no site.
        """
        port = self.front.node.endpoint("http").outside.port
        found = []
        for address in self.front.addresses:
            try:
                by = served_by(Door(self.public_name, port, partial(_always, address)))
            except ConnectionRefusedError:
                by = REFUSED
            except OSError as error:
                raise NotYet(f"{address} does not answer: {error}") from error
            if by is None:
                raise NotYet(f"{address} is answered by no gateway of a site")
            found.append(Reached(f"{address}:{port}", by))
        return tuple(found)


def _always(address: str, _name: str) -> str:
    return address


def open_edge(site: Site, config: Config, secrets: Mapping[str, str], upstream: Address, leads_to: str) -> Edge:
    """Start name service and front door, routed to `upstream` of site `leads_to`; return them. Raises HarnessError."""
    estate, sites = config.estate, config.sites
    first = sites.primary.edge if leads_to == "primary" else sites.dr.edge
    names_node = site.launch(dns_spec(site, estate.zone, {estate.host: first}, secrets=secrets))
    names = NameServer(names_node.endpoint("dns").outside, estate.zone, secrets["tsig"])
    front_node = site.launch(front_spec(site, (sites.primary.edge, sites.dr.edge), upstream, leads_to))
    door = Door(config.public_name, front_node.endpoint("http").outside.port, names.resolve)
    return Edge(FrontDoor(site, front_node), names, door, estate.host, config.public_name)
