"""The Notification Service as a service of the estate."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from harness.core.errors import HarnessError
from harness.core.node import NodeSpec, Ready, runs_images
from harness.core.service import Arrivals, Contained, Containment, KeyFunction, Objects, Place, Sources
from harness.patience import PATIENCE
from harness.postgres.server import connect
from harness.services.notification import keys
from harness.services.notification.seed import checkout, seed
from harness.traffic.door import GATEWAY_KEY

IMAGE = "notifier"
SINK = "notifications"
REFERENCED = "SELECT DISTINCT attachment_key FROM outbox WHERE attachment_key IS NOT NULL"
HOLD = "INSERT INTO control (name, value) VALUES ('delivery', 'held') ON CONFLICT (name) DO NOTHING"
LET_GO = "DELETE FROM control WHERE name = 'delivery' AND value = 'held'"
# What `contain` says it did; `release` undoes the first and leaves the others alone.
HELD = "delivery of queued messages is held until release"
HELD_BEFORE = "delivery of queued messages was held already when the backup was taken; it stays held"
TO_SINK = "nothing to hold: messages are delivered to the drill's own receiver"


@dataclass(frozen=True, slots=True)
class Notification:
    """Accepts messages, keeps them in its database and their attachments in its bucket, delivers them.

    `arrivals`: the customers' side, where a drill has one to ask. `examples`: messages that `seed` queues.
    """

    name: str = "notification"
    database: str = "notification"
    bucket: str = "notifications"
    needs: tuple[str, ...] = ()
    examples: int = 12
    arrivals: Arrivals | None = None

    @property
    def role(self) -> str:
        """The database role it connects as; it owns the database."""
        return self.database

    @property
    def secret(self) -> str:
        """Name of the secret that holds the role's password."""
        return f"{self.name}-db"

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """One node, that listens on its port `http`. Raises HarnessError when `place` lacks what it needs."""
        names = {"db": self.secret, "s3-access": "s3-access", "s3-secret": "s3-secret"}
        env = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "NOTIFIER_DB_HOST": place.sql.inside.host,
            "NOTIFIER_DB_PORT": str(place.sql.inside.port),
            "NOTIFIER_DB_NAME": self.database,
            "NOTIFIER_DB_USER": self.role,
            "NOTIFIER_DB_PASSWORD": "@{secret:db}",
            "NOTIFIER_S3_ENDPOINT": str(place.s3.inside),
            "NOTIFIER_S3_BUCKET": self.bucket,
            "NOTIFIER_S3_ACCESS": "@{secret:s3-access}",
            "NOTIFIER_S3_SECRET": "@{secret:s3-secret}",
            "NOTIFIER_TARGET": self._needed(place.sinks, SINK, "sink"),
            "NOTIFIER_HOST": "@{bind:http}",
            "NOTIFIER_PORT": "@{port:http}",
        }
        argv: tuple[str, ...] = ()
        if not runs_images(place.site):
            argv = (sys.executable, "-m", "notifier")
            env["PYTHONPATH"] = str(checkout())
        spec = NodeSpec(
            name=self.name,
            argv=argv,
            image=IMAGE,
            ports=("http",),
            env=env,
            secrets={name: self._needed(place.secrets, held, "secret") for name, held in names.items()},
            ready=Ready(port="http", path="/ready", patience=PATIENCE.notification_ready),
        )
        return (spec,)

    def sources(self) -> Sources:
        """Its database, and beside it the bucket that its rows refer to."""
        objects = Objects(self.bucket, self.database, REFERENCED)
        return Sources(databases=(self.database,), objects=(objects,))

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Queued messages arrive, a new one is accepted, an attachment can be read: message 2.8."""
        self._needed(secrets, GATEWAY_KEY, "secret of the clients")
        return keys.key_functions(self.name, secrets, self.arrivals)

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Hold delivery in `real` mode; a rehearsal delivers to its own receiver. Raises HarnessError."""
        if containment == "disposable":
            self._needed(place.sinks, SINK, "sink")
            return Contained(self.name, (TO_SINK,))
        done = self._control(place, HOLD)
        return Contained(self.name, (HELD if done else HELD_BEFORE,))

    def release(self, place: Place, contained: Contained) -> None:
        """Let delivery begin, where `contain` held it. Raises HarnessError."""
        if HELD in contained.actions:
            self._control(place, LET_GO)

    def seed(self, place: Place) -> None:
        """Make role, database, schema and bucket, and queue the examples, undelivered. Raises HarnessError."""
        reference = self._needed(place.secrets, self.secret, "secret")
        seed(place, self.database, self.role, reference, bucket=self.bucket, count=self.examples)

    def _control(self, place: Place, statement: str) -> int:
        """Run one statement on the table `control`; return how many rows it changed."""
        with connect(place.sql, self.database) as connection:
            try:
                return connection.execute(statement).rowcount
            except psycopg.Error as error:
                reason = str(error).strip().splitlines()[0]
                raise HarnessError(
                    f"{self.name}: delivery cannot be held or let go in database {self.database}: {reason}"
                ) from None

    def _needed(self, given: Mapping[str, str], key: str, kind: str) -> str:
        if key not in given:
            raise HarnessError(f"{self.name}: the site has no {kind} {key!r}; the service cannot be put there")
        return given[key]
