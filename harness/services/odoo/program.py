"""Command line, environment and settings file of Odoo; the password is in the settings file only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from harness.core.errors import HarnessError, UsageError
from harness.core.node import Address, Site, Task, runs_images
from harness.core.service import Place
from harness.parts.programs import program

IMAGE = "odoo"
ROLE = "odoo"
HINT = "is it the database of an Odoo?"  # end of an error message of the server
DATABASE_SECRET = "odoo-db"  # noqa: S105 - the name of a secret
# Odoo expands variables in each path, once: a path that contains a dollar sign is given as the value of one.
CONFIG, DATA = "BLACKSTART_CONFIG", "BLACKSTART_DATA"
ADMIN_SECRET = "odoo-admin"  # noqa: S105 - the name of a secret


@dataclass(frozen=True, slots=True)
class Program:
    """How Odoo is run on its databases and its volume."""

    name: str
    databases: tuple[str, ...]
    volume: str
    role: str = ROLE

    def on(self, database: str) -> Self:
        """Return the same program on one of its databases, as tasks need it."""
        return replace(self, databases=(database,))

    @property
    def database(self) -> str:
        """The first of its databases."""
        return self.databases[0]

    def command(self, site: Site, *words: str) -> tuple[str, ...]:
        """Return a command line; `words`: Odoo's sub-command, none for the server, and options. Raises MissingPart."""
        sub_command, options = words[:1], words[1:]
        if runs_images(site):
            return ("odoo", *sub_command, "-c", "@{file:odoo.conf}", *options)
        start = (program("odoo-python"), program("odoo-bin"), *sub_command)
        return (*start, "-c", f"${CONFIG}", f"--addons-path={program('odoo-addons')}", *options)

    def environment(self, site: Site) -> dict[str, str]:
        """Return the environment that Odoo needs on `site`. Raises MissingPart."""
        if runs_images(site):  # the image knows where its parts are
            return {}
        paths = {CONFIG: "@{file:odoo.conf}", DATA: f"@{{volume:{self.volume}}}"}
        return {"PYTHONPATH": program("odoo-path"), "LC_ALL": "C.UTF-8", **paths}

    def server_settings(self, place: Place) -> str:
        """Return the settings file of the server on `place`."""
        lines = [
            "http_interface = @{bind:http}",
            "http_port = @{port:http}",
            "proxy_mode = True",
            "workers = 0",
            "max_cron_threads = 1",
        ]
        return self._settings(place, lines)

    def task(self, place: Place, name: str, *words: str, stdin: bytes = b"", **more: str) -> Task:
        """Return a task of Odoo's sub-command `words[0]`; `BLACKSTART_FILE_X` is the path of secret `x` of `more`."""
        files = {key: f"@{{secret:{secret}}}" for key, secret in more.items()}
        paths = {f"BLACKSTART_FILE_{key.upper()}": f"@{{file:{key}}}" for key in more}
        lines = ["http_enable = False", "workers = 0", "max_cron_threads = 0", "log_level = warn"]
        return Task(
            name=f"{self.name}-{name}",
            argv=self.command(place.site, *words),
            image=IMAGE,
            volumes=(self.volume,),
            env={**self.environment(place.site), **paths},
            secrets={key: reference(place.secrets, key) for key in (DATABASE_SECRET, *more.values())},
            files={"odoo.conf": self._settings(place, lines), **files},
            stdin=stdin,
        )

    def _settings(self, place: Place, lines: list[str]) -> str:
        """Return a settings file: https://www.odoo.com/documentation/19.0/developer/reference/cli.html."""
        server = place.sql.inside
        data = f"@{{volume:{self.volume}}}" if runs_images(place.site) else f"${DATA}"
        common = [
            "[options]",
            f"data_dir = {data}",
            f"db_host = {server.host}",
            f"db_port = {server.port}",
            f"db_user = {self.role}",
            f"db_password = @{{secret:{DATABASE_SECRET}}}",
            f"db_name = {','.join(self.databases)}",
            f"dbfilter = ^({'|'.join(map(re.escape, self.databases))})$",
            "list_db = False",
        ]
        if sink := mail_sink(place):
            common += [f"smtp_server = {sink.host}", f"smtp_port = {sink.port}"]
        return "\n".join([*common, *lines, ""])


def reference(secrets: Mapping[str, str], name: str) -> str:
    """Return the reference to a secret; raises UsageError when it is missing."""
    if name not in secrets:
        raise UsageError(f"Odoo: no secret {name}; add its reference to the secrets of the site")
    return secrets[name]


def mail_sink(place: Place) -> Address | None:
    """Return the address of the mail sink, None if the place has none. Raises UsageError for a malformed one."""
    if "smtp" not in place.sinks:
        return None
    url = urlsplit(place.sinks["smtp"])
    if url.scheme != "smtp" or url.hostname is None or url.port is None:
        raise UsageError(f"sink smtp: {place.sinks['smtp']!r} is malformed; use smtp://HOST:PORT")
    return Address(url.hostname, url.port)


def run(place: Place, task: Task, *, patience: float) -> None:
    """Run a task to its end. Raises HarnessError with its last output line, TookTooLong after `patience` seconds."""
    with place.site.run(task) as running:
        # The output is not used, but must be read, or the task would block.
        while running.stdout.read(1 << 16):
            pass
        done = running.finish(patience)
    if done.code:
        last = done.errors.strip().splitlines()[-1:] or ["no output"]
        raise HarnessError(f"{task.name} on site {place.site.name} exited with {done.code}: {last[0]}; see its log")
