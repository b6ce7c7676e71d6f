"""The name service: Knot DNS, switched by dynamic updates (RFC 2136) that are signed with TSIG (RFC 8945)."""

from collections.abc import Mapping
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from harness.core.errors import HarnessError
from harness.core.node import Address, NodeSpec, Ready, Site, runs_images
from harness.parts.programs import program
from harness.patience import PATIENCE
from harness.vault import read_text_secret

IMAGE = "knot"
NAMES = "names"  # the node, and its volume
KEY_NAME, ALGORITHM = "blackstart.", "hmac-sha256"
TTL = 5  # seconds

# Knot makes the path of its control socket absolute, and a socket's path is at most 107 bytes: a run folder may be
# deeper. Nor can every path be quoted there. So it starts inside its volume and names that by way of /proc.
START = 'cd "$1" && exec "$2" -c "$3"'
CONFIGURATION = """\
server:
    rundir: /proc/self/cwd
    listen: @{bind:dns}@@{port:dns}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: /proc/self/cwd/knot.sock
log:
  - target: stderr
    any: notice
database:
    storage: /proc/self/cwd
    journal-db-max-size: 64M
    timer-db-max-size: 8M
key:
  - id: blackstart.
    algorithm: hmac-sha256
    secret: @{secret:tsig}
acl:
  - id: signed
    key: blackstart.
    action: update
zone:
  - domain: {zone}
    storage: /proc/self/cwd
    file: zone
    journal-max-usage: 16M
    acl: signed
"""


def zone_text(zone: str, records: Mapping[str, str]) -> str:
    """Return a zone file (RFC 1035) with one address record for each of `records`: host -> IPv4 address."""
    lines = [
        f"$ORIGIN {zone}.",
        f"$TTL {TTL}",
        f"@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 {TTL}",
        "@ NS ns",
        "ns A 127.0.0.1",
        *(f"{host} A {address}" for host, address in records.items()),
    ]
    return "\n".join(lines) + "\n"


def dns_spec(site: Site, zone: str, records: Mapping[str, str], *, secrets: Mapping[str, str]) -> NodeSpec:
    """Return the name server of `zone`, at first with `records` (host -> IPv4). Raises HarnessError without `tsig`."""
    if "tsig" not in secrets:
        raise HarnessError("name service: no secret 'tsig'; without it no update can be told from a forged one")
    if runs_images(site):  # a container starts in its volume, and its paths are short
        argv: tuple[str, ...] = ("knotd", "-c", "@{file:knot.conf}")
        env = {}
    else:
        argv = ("sh", "-c", START, "sh", f"@{{volume:{NAMES}}}", program("knotd"), "@{file:knot.conf}")
        env = {"LD_LIBRARY_PATH": program("knot-libs")}
    return NodeSpec(
        name=NAMES,
        argv=argv,
        image=IMAGE,
        ports=("dns",),
        volumes=(NAMES,),
        env=env,
        secrets={"tsig": secrets["tsig"]},
        files={"knot.conf": CONFIGURATION.replace("{zone}", zone)},
        first_files={"zone": zone_text(zone, records)},
        ready=Ready(port="dns", patience=PATIENCE.dns_ready),
    )


@dataclass(frozen=True, slots=True)
class NameServer:
    """A client of the name server: asks it, and with the TSIG key behind `tsig_ref` switches what it answers."""

    address: Address
    zone: str
    tsig_ref: str

    def switch(self, name: str, ip: str) -> None:
        """Let `name`, a host of the zone, be `ip` from now on; raises HarnessError when the update is not taken."""
        self.send(self.update(name, ip, signed=True))

    def update(self, name: str, ip: str, *, signed: bool) -> dns.update.UpdateMessage:
        """Return an update that makes `name` an alias of nothing but `ip`; raises HarnessError for a malformed key."""
        try:
            ring = dns.tsigkeyring.from_text({KEY_NAME: (ALGORITHM, read_text_secret(self.tsig_ref))})
        except ValueError as error:
            raise HarnessError(f"secret {self.tsig_ref}: not a TSIG key in base64; make a new one") from error
        message = dns.update.UpdateMessage(self.zone, keyring=ring if signed else None)
        message.replace(self._name(name), TTL, "A", ip)
        return message

    def send(self, message: dns.update.UpdateMessage) -> None:
        """Send an update; raises HarnessError with the server's answer when it is not taken."""
        where = f"name service {self.address}: update of {self.zone}"
        try:
            answer = dns.query.tcp(message, self.address.host, port=self.address.port, timeout=PATIENCE.dns_query)
        except (dns.exception.DNSException, OSError) as error:
            raise HarnessError(f"{where}: {error!r}; is it up, and the TSIG key its own?") from error
        if answer.rcode() != dns.rcode.NOERROR:
            word = dns.rcode.to_text(answer.rcode())
            raise HarnessError(f"{where}: refused with {word}; it takes updates signed with its own TSIG key only")

    def resolve(self, name: str) -> str:
        """Return the IPv4 address of `name`, asked anew over TCP; raises ConnectionError when there is none."""
        question = dns.message.make_query(f"{self._name(name)}.{self.zone}.", "A")
        try:
            answer = dns.query.tcp(question, self.address.host, port=self.address.port, timeout=PATIENCE.dns_query)
        except (dns.exception.DNSException, OSError) as error:
            raise ConnectionError(f"{name}: name service {self.address} does not answer: {error!r}") from error
        found = [str(r) for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for r in rrset]
        if not found or not answer.flags & dns.flags.AA:
            word = dns.rcode.to_text(answer.rcode())
            raise ConnectionError(f"{name}: name service {self.address} has no address for it ({word})")
        return found[0]

    def _name(self, name: str) -> str:
        """Return `name` relative to the zone."""
        return name.removesuffix(".").removesuffix(f".{self.zone}")
