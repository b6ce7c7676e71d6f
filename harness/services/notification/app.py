"""Notification Service: node, backup sources, containment."""

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
# Actions of `contain`; `release` undoes the first one only.
HELD = "delivery of queued messages is on hold until release"
HELD_BEFORE = "delivery of queued messages was on hold in the backup, and stays on hold"
TO_SINK = "nothing to hold: messages are delivered to the drill's own receiver"


@dataclass(frozen=True, slots=True)
class Notification:
    """Stores messages in its database and attachments in its bucket, and delivers them."""

    name: str = "notification"
    database: str = "notification"
    bucket: str = "notifications"
    needs: tuple[str, ...] = ()
    examples: int = 12  # messages that `seed` queues
    arrivals: Arrivals | None = None  # deliveries recorded by the customers, in drills only

    @property
    def secret(self) -> str:
        """Return the name of the secret with the role's password."""
        return f"{self.name}-db"

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its node, which listens on port `http`. Raises HarnessError when a secret or sink is missing."""
        names = {"db": self.secret, "s3-access": "s3-access", "s3-secret": "s3-secret"}
        env = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "NOTIFIER_DB_HOST": place.sql.inside.host,
            "NOTIFIER_DB_PORT": str(place.sql.inside.port),
            "NOTIFIER_DB_NAME": self.database,
            "NOTIFIER_DB_USER": self.database,
            "NOTIFIER_DB_PASSWORD_FILE": "@{file:db-password}",
            "NOTIFIER_S3_ENDPOINT": str(place.s3.inside),
            "NOTIFIER_S3_BUCKET": self.bucket,
            "NOTIFIER_S3_ACCESS_FILE": "@{file:s3-access}",
            "NOTIFIER_S3_SECRET_FILE": "@{file:s3-secret}",
            "NOTIFIER_TARGET_FILE": "@{file:target}",
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
            files={
                "db-password": "@{secret:db}",
                "s3-access": "@{secret:s3-access}",
                "s3-secret": "@{secret:s3-secret}",
                "target": self._needed(place.sinks, SINK, "sink"),
            },
            ready=Ready(port="http", path="/ready", patience=PATIENCE.notification_ready),
        )
        return (spec,)

    def sources(self) -> Sources:
        """Return its database, and the bucket that the database refers to."""
        objects = Objects(self.bucket, self.database, REFERENCED)
        return Sources(databases=(self.database,), objects=(objects,), read=(self.bucket,))

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the key functions (message 2.8). Raises HarnessError when a client secret is missing."""
        self._needed(secrets, GATEWAY_KEY, "secret of the clients")
        return keys.key_functions(self.name, secrets, self.arrivals)

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Hold delivery if reversible; a disposable copy delivers to the drill's receiver. Raises HarnessError."""
        if containment == "disposable":
            self._needed(place.sinks, SINK, "sink")
            return Contained(self.name, (TO_SINK,))
        done = self._control(place, HOLD)
        return Contained(self.name, (HELD if done else HELD_BEFORE,))

    def release(self, place: Place, contained: Contained) -> Sequence[str]:
        """Begin delivery, if `contain` held it. Raises HarnessError."""
        if HELD in contained.actions:
            self._control(place, LET_GO)
        return ()

    def seed(self, place: Place) -> None:
        """Create role, database, schema and bucket, and queue the example messages. Raises HarnessError."""
        reference = self._needed(place.secrets, self.secret, "secret")
        seed(place, self.database, self.database, reference, bucket=self.bucket, count=self.examples)

    def _control(self, place: Place, statement: str) -> int:
        """Run a statement on the table `control`; return the number of changed rows. Raises HarnessError."""
        with connect(place.sql, self.database) as connection:
            try:
                return connection.execute(statement).rowcount
            except psycopg.Error as error:
                reason = str(error).strip().splitlines()[0]
                raise HarnessError(
                    f"{self.name}: delivery cannot be held or released in database {self.database}: {reason}"
                ) from None

    def _needed(self, given: Mapping[str, str], key: str, kind: str) -> str:
        if key not in given:
            raise HarnessError(f"{self.name}: no {kind} {key!r}; add it to the site or the clients")
        return given[key]
