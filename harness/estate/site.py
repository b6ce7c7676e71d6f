"""A site of the estate: its database server, its object store and its services."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from harness.core.errors import Finding, HarnessError, reason_of
from harness.core.node import Address, Logged, Node, Site, Volume
from harness.core.parallel import in_parallel
from harness.core.service import S3, Place, Service, Sql
from harness.postgres import server as postgres
from harness.s3 import server as objects
from harness.s3.client import await_store

VOLUME, DATA = "postgres", "data"  # the volume of the database server, and the data directory in it
OWN_SETTINGS = "postgresql.auto.conf"  # what is read last of them
OWN_FILES = ("postgresql.conf", OWN_SETTINGS, "pg_hba.conf", "pg_ident.conf")  # of the site, not of its data
DATABASE, STORE = INFRASTRUCTURE = ("postgres", "objects")  # nodes that are not services
LOST = re.compile(
    "server closed the connection unexpectedly|terminating connection because of crash|the connection is (lost|closed)"
    "|the database system is (in recovery mode|not yet accepting connections|starting up|shutting down)"
)
CRASH = re.compile(r"(PANIC: .*|process \(PID \d+\) was terminated by .*|client backend .* was terminated by .*)")


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Status of one node after its start."""

    node: str
    ready: bool
    detail: str


@dataclass(slots=True)
class EstateSite:
    """One site and its running nodes. `sinks`: URLs that outbound actions go to, by name."""

    site: Site
    secrets: Mapping[str, str]
    sinks: Mapping[str, str]
    sql: Sql | None = None
    s3: S3 | None = None
    peers: dict[str, Address] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Addresses and secrets that a service needs on this site; raises HarnessError before activation."""
        if self.sql is None or self.s3 is None:
            raise HarnessError(f"site {self.site.name}: not activated yet")
        return Place(self.site, self.sql, self.s3, self.secrets, dict(self.peers), self.sinks)

    def connect(self, sql: Address, s3: Address) -> None:
        """Use a running database server and object store at these addresses."""
        self.sql = Sql(sql, sql, postgres.SUPERUSER, self.secrets[postgres.SUPERUSER_PASSWORD])
        self.s3 = S3(s3, s3, self.secrets[objects.ACCESS], self.secrets[objects.SECRET])

    def start_database(self) -> NodeStatus:
        """Start PostgreSQL and return its status; raises HarnessError."""
        node = self.site.launch(postgres.server_spec(self.site, secrets=self.secrets))
        self.nodes[DATABASE] = node
        self.sql = postgres.sql_of(node, self.secrets[postgres.SUPERUSER_PASSWORD])
        return NodeStatus(DATABASE, ready=True, detail=str(self.sql.outside))

    def replace_database(self, change: Callable[[Volume], None]) -> None:
        """Kill PostgreSQL, let `change` replace what its volume has, and start it at the same address.

        Raises HarnessError, and as `change`: the server stays down then.
        """
        node = self.nodes[DATABASE]
        node.kill()
        change(self.site.volume(VOLUME))
        node.start()

    def start_store(self) -> NodeStatus:
        """Start the object store and return its status; raises HarnessError."""
        if STORE not in self.nodes:
            self.nodes[STORE] = self.site.launch(objects.server_spec(self.site, secrets=self.secrets))
        self.s3 = objects.s3_of(self.nodes[STORE], self.secrets[objects.ACCESS], self.secrets[objects.SECRET])
        return NodeStatus(STORE, ready=True, detail=str(self.s3.outside))

    def activate(self) -> tuple[NodeStatus, ...]:
        """Start database server and object store in parallel; return their statuses. Raises HarnessError."""
        statuses = tuple(in_parallel({DATABASE: self.start_database, STORE: self.start_store}).values())
        # A replica store that ran before may be out of service now, for the same reason that delayed the database
        # (an unavailable control plane, for example).
        await_store(self.place.s3, f"objects on {self.site.name}")
        return statuses

    def start_service(self, service: Service) -> NodeStatus:
        """Start the nodes of one service and register it for its peers; return its status. Raises HarnessError."""
        place = replace(self.place, peers=dict(self.peers))
        for spec in service.nodes(place):
            node = self.site.launch(spec)
            self.nodes[spec.name] = node
            if "http" in spec.ports:
                self.peers[service.name] = node.endpoint("http").inside
        return NodeStatus(service.name, ready=True, detail=str(self.peers.get(service.name, "")))

    def address_of(self, service: str) -> Address:
        """Return the address of that service for nodes of other sites."""
        return self.nodes[service].endpoint("http").from_afar

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Add to an error about a lost connection why the database server ended, as its log says."""
        try:
            yield
        except (Finding, HarnessError) as error:
            if LOST.search(str(error)) and (said := self._crash()):
                kind = type(error) if isinstance(error, Finding) else HarnessError
                raise kind(f"{reason_of(error)}; {said}") from error
            raise

    def _crash(self) -> str:
        node = self.nodes.get(DATABASE)
        if not isinstance(node, Logged):
            return f"the log of the database server of {self.site.name} says why"
        lines = [" ".join(found[1].split()) for line in node.last_log() if (found := CRASH.search(line))]
        panics = [line for line in lines if line.startswith("PANIC")]
        return f"{DATABASE} on {self.site.name}: {(panics or lines)[-1]}" if lines else ""

    def fence(self) -> None:
        """Kill all its nodes, those that take requests first: it takes no more writes. Volumes are kept."""
        for node in reversed(self.nodes.values()):
            node.kill()

    def destroy(self) -> None:
        """Destroy the site with all nodes and volumes."""
        self.site.destroy()
        self.sql = self.s3 = None
        self.peers.clear()
        self.nodes.clear()


def in_order(services: Sequence[Service]) -> tuple[tuple[Service, ...], ...]:
    """Return the services in waves: each needs only earlier ones. Raises HarnessError for a circular dependency."""
    waves: list[tuple[Service, ...]] = []
    left = {service.name: service for service in services}
    while left:
        wave = tuple(s for s in left.values() if not any(need in left for need in s.needs))
        if not wave:
            raise HarnessError(f"services {', '.join(sorted(left))}: circular dependency; correct `needs`")
        waves.append(wave)
        left = {name: s for name, s in left.items() if s not in wave}
    return tuple(waves)
