"""The public front door: nginx, listening on the edge address of each site, leading to the gateway of one of them.

The edge addresses are loopback addresses of one machine. One process listens on them all; in a container those are its
own, and the engine publishes its port on the machine's.
"""

import http.client
import re
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, Refused, TookTooLong
from harness.core.node import Address, Node, NodeSpec, Ready, Site, Task, runs_images
from harness.parts.programs import program
from harness.patience import PATIENCE

IMAGE = "nginx"
FRONT = "front"  # the node, and its volume
LIVE, CANDIDATE = "front.conf", "candidate.conf"
ADDRESSES = "FRONT_ADDRESSES"  # how the node remembers where it listens
READY_PATH = "/.front/ready"  # answered by the front door itself, with the mark of its configuration
SITE_HEADER = "X-Front-Site"
CONNECT_S = 1  # seconds to reach a gateway
READ_S = 60  # seconds that a gateway may take to answer
ASKED = 3  # answers in a row, from each address, that show the new workers at work
OK = 200
LISTEN = re.compile(r"^ +listen (\S+);$", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9._-]+")
SAID = re.compile(r"\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(.*)")

# Relative paths lie in the volume, which is nginx's prefix.
TEXT = """\
# Leads to {site}.
daemon off;
worker_processes 2;
worker_shutdown_timeout 5s;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path temp_body;
    proxy_temp_path temp_proxy;
    fastcgi_temp_path temp_fastcgi;
    uwsgi_temp_path temp_uwsgi;
    scgi_temp_path temp_scgi;
    client_max_body_size 128m;
    default_type application/octet-stream;
    server {{
{listen}
        server_name _;
        add_header {header} {site} always;
        location = {ready} {{
            return 200 "{mark}";
        }}
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_connect_timeout {connect}s;
            proxy_read_timeout {read}s;
            proxy_next_upstream off;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class RoutingStatus:
    """Where the front door leads: site, the addresses asked, and seconds until all of them led there."""

    site: str
    addresses: tuple[str, ...]
    took: float


def mark_of(upstream: Address, site: str) -> str:
    """Return the word by which a configuration is known from outside: 16 hex digits."""
    return sha256(f"{site} {upstream}".encode()).hexdigest()[:16]


def listening(text: str) -> tuple[str, ...]:
    """Return the addresses, `host:port`, at which a configuration listens."""
    return tuple(LISTEN.findall(text))


def configuration(addresses: tuple[str, ...], upstream: Address, site: str) -> str:
    """Return nginx's configuration for `addresses`, `host:port` or placeholders. Raises Refused for a bad site name."""
    if not NAME.fullmatch(site):
        raise Refused(f"front door: {site!r} is no name of a site; use letters, digits, dots and dashes")
    listen = "\n".join(f"        listen {address};" for address in addresses)
    return TEXT.format(
        site=site, listen=listen, header=SITE_HEADER, ready=READY_PATH, mark=mark_of(upstream, site),
        upstream=upstream, connect=CONNECT_S, read=READ_S,
    )  # fmt: skip


def front_spec(where: Site, addresses: tuple[str, ...], upstream: Address, site: str) -> NodeSpec:
    """Return the front door, which runs on `where`, at first leading to `upstream`, the gateway of `site`.

    It listens on every one of `addresses` and, for the ready probe, where its place binds it, on one port:
    that a number is free there keeps two front doors of one machine apart on the other addresses as well.
    The configuration is kept in its volume, so a restart finds the one that was last switched to.
    """
    text = configuration(tuple(f"{one}:@{{port:http}}" for one in ("@{bind:http}", *addresses)), upstream, site)
    return NodeSpec(
        name=FRONT,
        argv=_nginx(where, LIVE),
        image=IMAGE,
        ports=("http",),
        volumes=(FRONT,),
        env={ADDRESSES: " ".join(addresses)},
        first_files={LIVE: text},
        published={"http": addresses},
        stop_signal="QUIT",
        ready=Ready(port="http", path=READY_PATH, patience=PATIENCE.front_door_ready),
    )


def _nginx(where: Site, file: str, *options: str) -> tuple[str, ...]:
    """Return the command line of nginx on a site, with a configuration that lies in its volume."""
    found = "nginx" if runs_images(where) else program("nginx")
    return (found, "-e", "stderr", "-p", f"@{{volume:{FRONT}}}/", "-c", f"@{{volume:{FRONT}}}/{file}", *options)


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """The front door while it runs. `site` is where it runs, not where it leads."""

    site: Site
    node: Node

    def route(self, upstream: Address, name: str) -> RoutingStatus:
        """Lead connections to `upstream`; return once all do. Raises Refused; TookTooLong, the old put back."""
        begin = SYSTEM.monotonic()
        before = self._live()
        self.route_raw(configuration(listening(before.decode()), upstream, name))
        mark = mark_of(upstream, name)
        try:
            for address in self.addresses:
                self._wait_for(address, mark)
        except TookTooLong:
            self._put_back(before)
            raise
        return RoutingStatus(name, self.addresses, SYSTEM.monotonic() - begin)

    def route_raw(self, text: str) -> None:
        """Test a configuration and tell nginx to take it. Raises Refused, unchanged, HarnessError without nginx."""
        if not self.node.alive:  # its pid file outlives it, and the number may be another's by now
            raise HarnessError(f"front door on {self.site.name}: not running, so it cannot be switched; start it first")
        volume = self.site.volume(FRONT)
        with volume.open(CANDIDATE, "wb") as candidate:
            candidate.write(text.encode())
        code, said = self._run("test", _nginx(self.site, CANDIDATE, "-t"))
        if code != 0:
            volume.remove(CANDIDATE)
            found = SAID.search(said)
            reason = found.group(1) if found else said.strip() or f"exit code {code}"
            raise Refused(f"front door: nginx refuses the configuration, the old one serves on: {reason}")
        before = self._live()
        where = f"@{{volume:{FRONT}}}/"
        code, said = self._run("swap", ("mv", "-f", where + CANDIDATE, where + LIVE))
        if code == 0:
            code, said = self._run("reload", _nginx(self.site, LIVE, "-s", "reload"))
        if code != 0:
            self._put_back(before)
            raise HarnessError(f"front door: the configuration was not taken ({said.strip() or code}); look at its log")

    def _live(self) -> bytes:
        with self.site.volume(FRONT).open(LIVE, "rb") as live:
            return live.read()

    def _put_back(self, before: bytes) -> None:
        """Let a restart find the configuration that was served before."""
        with self.site.volume(FRONT).open(LIVE, "wb") as live:
            live.write(before)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The edge addresses it listens on."""
        return tuple(self.node.spec.env[ADDRESSES].split())

    def _wait_for(self, address: str, mark: str) -> None:
        """Return when new connections to that address are served by the configuration of that mark."""
        port = self.node.endpoint("http").outside.port

        def served() -> None:
            for _ in range(ASKED):
                found = ask_mark(Address(address, port))
                if found != mark:
                    raise NotYet(f"configuration {found} answers, not {mark}")

        what = f"front door on {address}:{port}: the switch"
        wait_until(served, patience=PATIENCE.front_door, on=(NotYet, OSError), every=0.02, what=what)

    def _run(self, what: str, argv: tuple[str, ...]) -> tuple[int, str]:
        # Within its container, if it is one: nginx signals its master by a process number that is known there alone.
        with self.site.run(Task(f"{FRONT}-{what}", argv, IMAGE, volumes=(FRONT,), within=FRONT)) as running:
            done = running.finish(PATIENCE.front_door)
        return done.code, done.errors


def ask_mark(address: Address) -> str:
    """Return the mark of the configuration that a new connection meets; raises OSError when none answers."""
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=2)) as connection:
        try:
            connection.request("GET", READY_PATH, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(64)
        except http.client.HTTPException as error:
            raise ConnectionError(f"{address}: not an answer of the front door: {error!r}") from error
    if answer.status != OK:
        raise ConnectionError(f"{address}: answered {answer.status}, so it is not the front door")
    return body.decode("ascii", "replace").strip()
