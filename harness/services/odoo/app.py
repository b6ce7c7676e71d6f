"""Odoo service: node and backup sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import HarnessError
from harness.core.node import Address, NodeSpec, Ready, runs_images
from harness.core.service import Contained, Containment, KeyFunction, Place, PublicDoor, Sources, Tree
from harness.patience import PATIENCE
from harness.services.odoo import contain, example, keys
from harness.services.odoo.program import ADMIN_SECRET, DATABASE_SECRET, IMAGE, ROLE, Program, reference
from harness.traffic.declared import KeyTable
from harness.traffic.key_functions import declared_functions

VOLUME = "odoo"
OK, FOUND = 200, 302
# Sessions, which end, and caches. The files of a database that is not declared are neither: they are found.
MADE_ANEW = ("sessions", ".cache")


@dataclass(frozen=True, slots=True)
class Odoo:
    """An Odoo with its databases and their filestores, which must be restored together."""

    name: str = "odoo"
    databases: tuple[str, ...] = ("odoo",)
    volume: str = VOLUME
    needs: tuple[str, ...] = ()
    role: str = ROLE
    login: str = keys.LOGIN
    own_keys: tuple[KeyTable, ...] = ()  # of somebody's own data; without any it has the example shop

    @property
    def program(self) -> Program:
        """Return its command lines and settings."""
        return Program(self.name, self.databases, self.volume, self.role)

    @property
    def several(self) -> bool:
        """Return whether it has more than one database: then clients name theirs."""
        return len(self.databases) > 1

    @property
    def probe(self) -> Ready:
        """Return the probe of its port `http`."""
        # /web/health answers 200 over a database that cannot be used; the login page does not. With several databases
        # the first answer sets the one that is named, and leads to the login page.
        path, status = (f"/web/login?db={self.databases[0]}", FOUND) if self.several else ("/web/login", OK)
        return Ready(port="http", path=path, status=status, patience=PATIENCE.odoo_ready)

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its only node. Raises MissingPart, UsageError without the secret `odoo-db`."""
        program, images = self.program, runs_images(place.site)
        # The image's entry point reads the server's address from the settings file that ODOO_RC names.
        env = {"ODOO_RC": "@{file:odoo.conf}"} if images else program.environment(place.site)
        return (
            NodeSpec(
                name=self.name,
                argv=program.command(place.site),
                image=IMAGE,
                ports=("http",),
                volumes=(self.volume,),
                env=env,
                secrets={DATABASE_SECRET: reference(place.secrets, DATABASE_SECRET)},
                files={"odoo.conf": program.server_settings(place)},
                needs=self.needs,
                ready=self.probe,
            ),
        )

    def sources(self) -> Sources:
        """Return the databases, and the files that each refers to."""
        # Modules that were put into the data folder, besides those of the program.
        addons = Tree(f"{self.name}-addons", self.volume, "addons", optional=True)
        return Sources(
            databases=self.databases,
            trees=(*map(self._filestore, self.databases), addons),
            volumes=(self.volume,),
            disposable=tuple((self.volume, path) for path in MADE_ANEW),
            read=(self.volume,),
            role=self.role,
            volatile=("public.bus_bus",),  # notifications to browsers, which Odoo removes after a minute
        )

    def _filestore(self, database: str) -> Tree:
        # Odoo names the folder after the database; `store_fname` is `xx/<SHA-1 of the content>`.
        return Tree(
            name=f"{self.name}-filestore" + (f"/{database}" if self.several else ""),
            volume=self.volume,
            folder=f"filestore/{database}",
            database=database,
            referenced="select distinct store_fname from ir_attachment where store_fname is not null",
            sha1_named=True,
        )

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the key functions (message 2.8.1) on each database, and those that are declared.

        Raises UsageError without `odoo-admin`.
        """
        known = None if self.own_keys else example.KNOWN
        found = (
            keys.key_functions(self.name, database, secrets, known, login=self.login, several=self.several)
            for database in self.databases
        )
        declared = declared_functions(self.name, self.own_keys, secrets, keys.MESSAGE, auth=False)
        return (*(function for functions in found for function in functions), *declared)

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Deactivate mail and scheduled actions in each database; raises HarnessError when one is still active."""
        actions: list[str] = []
        for database in self.databases:
            if containment == "disposable":
                done = contain.neutralize(self.program.on(database), place)
            else:
                done = contain.hold(self.name, database, place)
            actions += [f"{self._start(database)}{action}" for action in done.actions]
        return Contained(self.name, tuple(actions))

    def release(self, place: Place, contained: Contained) -> Sequence[str]:
        """Undo a reversible `contain` in each database; return a line for what is missing.

        Raises HarnessError, after all other databases are released.
        """
        lines: list[str] = []
        failed: list[HarnessError] = []
        for database in self.databases:
            start = self._start(database)
            actions = tuple(a.removeprefix(start) for a in contained.actions if a.startswith(start))
            try:
                lines += contain.release(database, place, Contained(self.name, actions))
            except HarnessError as error:
                failed.append(error)
        if failed:
            raise failed[0] if len(failed) == 1 else HarnessError("; ".join(map(str, failed)))
        return lines

    def call_outside(self, door: PublicDoor, secrets: Mapping[str, str], _at: Address, to: Address) -> str:
        """Give it a live mail server at an address, and have it connect. Raises Finding, OSError, UsageError."""
        password = reference(secrets, ADMIN_SECRET)
        clerk = keys.Clerk("outside", self.databases[0], password, door, self.login, self.several)
        return keys.mail_server(clerk, to)

    def _start(self, database: str) -> str:
        """Return what the actions of one database start with."""
        return f"{database}/" if self.several else ""

    def seed(self, place: Place) -> None:
        """Create role, databases, filestores and the example shop in each, with the secrets `odoo-db`, `odoo-admin`."""
        for database in self.databases:
            example.seed(self.program.on(database), place)
