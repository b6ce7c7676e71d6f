"""Traffic switch, message 2.7, at the public edge: front door and name service, outside both sites."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.node import Address, Site
from harness.core.service import PublicDoor
from harness.estate.config import Config
from harness.patience import PATIENCE
from harness.traffic.dns import NameServer, dns_spec
from harness.traffic.door import Door, served_by
from harness.traffic.nginx import FrontDoor, front_spec


@dataclass(frozen=True, slots=True)
class RoutingStatus:
    """Site and address that new connections and DNS queries reach."""

    front: str
    address: str


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
            return RoutingStatus(by, found)

        return wait_until(
            answered, patience=PATIENCE.traffic_switch, on=(NotYet, HarnessError), what="the switch of traffic"
        )


def open_edge(site: Site, config: Config, secrets: Mapping[str, str], upstream: Address, leads_to: str) -> Edge:
    """Start name service and front door, routed to `upstream` of site `leads_to`; return them. Raises HarnessError."""
    estate, sites = config.estate, config.sites
    first = sites.primary.edge if leads_to == "primary" else sites.dr.edge
    names_node = site.launch(dns_spec(site, estate.zone, {estate.host: first}, secrets=secrets))
    names = NameServer(names_node.endpoint("dns").outside, estate.zone, secrets["tsig"])
    front_node = site.launch(front_spec(site, (sites.primary.edge, sites.dr.edge), upstream, leads_to))
    door = Door(config.public_name, front_node.endpoint("http").outside.port, names.resolve)
    return Edge(FrontDoor(site, front_node), names, door, estate.host, config.public_name)
