"""A small site of real programs, without a substrate: launches nodes, is asked over HTTP."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import socketserver
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import NoReturn
from urllib.error import HTTPError

import psycopg

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.node import Address, Endpoint, NodeSpec, Running, Task, Volume
from harness.core.render import render
from harness.core.service import Answer
from harness.vault import read_text_secret

AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--") if os.geteuid() == 0 else ()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Process:
    """One program under way, that can be killed and started again where it was."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    probe: Callable[[], object]
    process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 30.0) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*AS_NOBODY, *self.argv), env={**os.environ, **self.env}, stdout=log, stderr=log
            )
        wait_until(self._ready, patience=patience, what=f"start of {self.argv[0]}")

    def _ready(self) -> None:
        if not self.alive:
            raise HarnessError(f"{self.argv[0]} ended at once: {self.log.read_text()[-2000:]}")
        try:
            self.probe()
        except (OSError, psycopg.Error) as error:
            raise NotYet(error) from error

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, number: int) -> int:
        if self.process is None:
            return 0
        if self.alive:
            self.process.send_signal(number)
        return self.process.wait(20)

    def stop_now(self) -> None:
        """End it for good: PostgreSQL takes INT for its fast stop, the others for any."""
        if self.process is not None and self.alive:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)


def run(argv: tuple[str, ...]) -> None:
    """Run one command to its end; raises HarnessError with what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"{argv[-1]}: exit code {done.returncode}: {done.stderr[-2000:]}")


@dataclass
class LocalNode:
    spec: NodeSpec
    running: Process
    port: int

    @property
    def alive(self) -> bool:
        return self.running.alive

    def start(self) -> None:
        if not self.alive:
            self.running.start()

    def kill(self) -> None:
        self.running.end(signal.SIGKILL)

    def terminate(self) -> int:
        return self.running.end(signal.SIGTERM)

    def endpoint(self, port: str) -> Endpoint:
        assert port == "http"
        return Endpoint(Address("127.0.0.1", self.port), Address("127.0.0.1", self.port))

    @property
    def logged(self) -> str:
        return self.running.log.read_text()


@dataclass
class LocalSite:
    folder: Path
    name: str = "primary"
    nodes: list[LocalNode] = field(default_factory=list)

    def launch(self, spec: NodeSpec) -> LocalNode:
        port = free_ports(1)[0]
        look_up = {
            "port": lambda _name: str(port),
            "bind": lambda _name: "127.0.0.1",
            "secret": lambda name: read_text_secret(spec.secrets[name]),
        }
        env = {name: render(value, look_up) for name, value in spec.env.items()}

        def ready() -> None:
            answer = ask(Address("127.0.0.1", port), "GET", spec.ready.path)
            if answer.status != spec.ready.status:
                raise OSError(answer.body.decode())

        node = LocalNode(spec, Process(spec.argv, env, self.folder / f"{spec.name}-{port}.log", ready), port)
        self.nodes.append(node)
        node.start()
        return node

    def run(self, task: Task) -> Running:
        return refuse(task.name)

    def volume(self, name: str) -> Volume:
        return refuse(name)

    def destroy(self) -> None:
        for node in self.nodes:
            node.kill()


class Pipe:
    """A way to a program that can be closed and opened again, while the program itself is left alone."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self.open = True
        self.busy = 0
        pipe = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if not pipe.open:
                    return
                pipe.busy += 1
                try:
                    with socket.create_connection((to.host, to.port)) as other:
                        pipe.pump(self.request, other)
                finally:
                    pipe.busy -= 1

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = Address("127.0.0.1", int(self.server.server_address[1]))
        self.thread = Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def shut(self) -> None:
        """Close it, and return once no connection goes through any more."""
        self.open = False
        wait_until(self._is_quiet, patience=5, what="the pipe to be shut")

    def _is_quiet(self) -> None:
        if self.busy:
            raise NotYet

    def pump(self, one: socket.socket, two: socket.socket) -> None:
        while self.open:
            for source in select.select([one, two], [], [], 0.1)[0]:
                data = source.recv(65536)
                if not data:
                    return
                (two if source is one else one).sendall(data)

    def __enter__(self) -> Pipe:
        self.thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.open = False
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def refuse(name: str) -> NoReturn:
    raise HarnessError(f"{name}: this site has neither tasks nor volumes")


@dataclass
class Door:
    """The front door and the gateway in one: strips the prefix, and demands the clients' key."""

    address: Address
    expected: str = ""

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] = {},
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        assert path.startswith("/notify/")
        if self.expected and headers.get("Authorization") != self.expected:
            return Answer(401, b"no key", {})
        return ask(self.address, method, path.removeprefix("/notify"), json, patience)


def ask(address: Address, method: str, path: str, data: object = None, patience: float = 10.0) -> Answer:
    """Send one request; an HTTP error is an answer. Raises OSError."""
    body = None if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(f"http://{address}{path}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=patience) as response:  # noqa: S310 - HTTP, above
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, response.read(), headers)
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read(), {})
