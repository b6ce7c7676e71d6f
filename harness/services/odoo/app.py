"""Odoo service: node and backup sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.node import NodeSpec, Ready, runs_images
from harness.core.service import Contained, Containment, KeyFunction, Place, Sources, Tree
from harness.patience import PATIENCE
from harness.services.odoo import contain, example, keys
from harness.services.odoo.program import DATABASE_SECRET, IMAGE, Program, reference


@dataclass(frozen=True, slots=True)
class Odoo:
    """An Odoo with its database and its filestore, which must be restored together."""

    name: str = "odoo"
    database: str = "odoo"
    volume: str = "odoo"
    needs: tuple[str, ...] = ()

    @property
    def program(self) -> Program:
        """Return its command lines and settings."""
        return Program(self.name, self.database, self.volume)

    @property
    def filestore(self) -> str:
        """Return the folder of its attachments in the volume, which Odoo names after the database."""
        return f"filestore/{self.database}"

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its only node. Raises MissingPart, UsageError without the secret `odoo-db`."""
        program, images = self.program, runs_images(place.site)
        # The image's entry point reads the server's address from the settings file that ODOO_RC names.
        env = {"ODOO_RC": "@{file:odoo.conf}"} if images else program.environment(place.site)
        # /web/health answers 200 over a database that cannot be used; the login page does not.
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
                ready=Ready(port="http", path="/web/login", patience=PATIENCE.odoo_ready),
            ),
        )

    def sources(self) -> Sources:
        """Return the database, and the files that it refers to."""
        # `store_fname` is `xx/<SHA-1 of the content>`.
        tree = Tree(
            name=f"{self.name}-filestore",
            volume=self.volume,
            folder=self.filestore,
            database=self.database,
            referenced="select distinct store_fname from ir_attachment where store_fname is not null",
            sha1_named=True,
        )
        # Modules that were put into the data folder, besides those of the program.
        addons = Tree(f"{self.name}-addons", self.volume, "addons")
        return Sources(
            databases=(self.database,),
            trees=(tree, addons),
            volumes=(self.volume,),
            disposable=((self.volume, "sessions, which end, and caches, which Odoo makes anew"),),
            read=(self.volume,),
        )

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the key functions (message 2.8.1). Raises UsageError without the secret `odoo-admin`."""
        return keys.key_functions(self.name, self.database, secrets, example.KNOWN)

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Deactivate mail and scheduled actions; raises HarnessError when one is still active."""
        if containment == "disposable":
            return contain.neutralize(self.program, place)
        return contain.hold(self.name, self.database, place)

    def release(self, place: Place, contained: Contained) -> None:
        """Undo a reversible `contain`; raises HarnessError with what is missing."""
        contain.release(self.database, place, contained)

    def seed(self, place: Place) -> None:
        """Create role, database, filestore and example shop, with the secrets `odoo-db` and `odoo-admin`."""
        example.seed(self.program, place)
