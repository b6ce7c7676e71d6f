"""n8n service: node and backup sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import HarnessError
from harness.core.node import Address, NodeSpec, Ready, runs_images
from harness.core.service import AssertionResult, Contained, Containment, KeyFunction, Place, PublicDoor, Sources, Tree
from harness.parts.programs import program
from harness.patience import PATIENCE
from harness.services.n8n import assertions, contain, keys
from harness.traffic.declared import KeyTable
from harness.traffic.exchange import Late
from harness.traffic.key_functions import declared_functions
from harness.vault import read_text_secret

IMAGE = "n8n"
DATABASE = "n8n"
KEY = "n8n-key"
# Modules that contact other servers, or whose packages are not installed.
OFF = (
    "agents,instance-ai,mcp-registry,mcp,chat-hub,workflow-builder,insights,external-secrets,source-control,"
    "sso-oidc,sso-saml,ldap,log-streaming,quick-connect,dynamic-credentials,otel,token-exchange,provisioning,"
    "community-packages,data-table,favorites,redaction,breaking-changes,n8n-packages,workflow-reviews,"
    "runtime-credentials,instance-version-history"
)
SETTINGS = {
    "NODE_ENV": "production",
    "DB_TYPE": "postgresdb",
    "N8N_SECURE_COOKIE": "false",
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_DISABLE_UI": "true",
    "N8N_PUBLIC_API_SWAGGERUI_DISABLED": "true",
    "N8N_DISABLED_MODULES": OFF,
    # At its start n8n deletes versions of workflows that it takes for superfluous: rows of the backup.
    "N8N_WORKFLOW_HISTORY_COMPACTION_SKIP_ON_START_UP": "true",
    # A copy has the same identity as the original, and must neither release nor renew its licence.
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "N8N_LICENSE_DETACH_FLOATING_ON_SHUTDOWN": "false",
    "NODE_OPTIONS": "--max-semi-space-size=2",  # MiB; 390 MB resident instead of 530, and no slower start
}
UNPUBLISHED = (
    "a workflow that has a trigger beside its webhook is contained (unpublished) on DR: "
    "give the webhook that is tested a workflow of its own"
)
JOURNAL = ".n8n/crash.journal"
# Files of executions (`storage`; `binaryData` until n8n 2, and as long as that folder exists) and own extensions.
FOLDERS = ("storage", "binaryData", "custom")
# n8n moves counts and publications on, prunes executions by age, on existing sites also versions of workflows at its
# start, and containment unpublishes workflows.
VOLATILE = tuple(
    f"public.{table}"
    for table in (
        *("execution_annotations", "execution_data", "execution_entity", "execution_metadata"),
        *("insights_by_period", "insights_raw", "invalid_auth_token", "webhook_entity", "workflow_publication_outbox"),
        *("workflow_history", "workflow_publication_trigger_status", "workflow_published_version"),
        "workflow_statistics_delta",
    )
)
# The journal of a crash, event logs, caches, a settings file with the key, copies of a repository, and community nodes,
# which the database lists.
MADE_ANEW = (
    *(f".n8n/{name}" for name in ("config", "crash.journal", "n8nEventLog*", "logs", "node-definitions", "nodes")),
    *(".n8n/git", ".n8n/ssh", ".cache", ".npm"),
)


@dataclass(frozen=True, slots=True)
class N8n:
    """An n8n with its database, and its encryption key, without which it does not start."""

    name: str = "n8n"
    database: str = DATABASE
    volume: str = "n8n"
    needs: tuple[str, ...] = ()
    binary_data: str = "database"
    own_keys: tuple[KeyTable, ...] = ()  # of somebody's own workflows; without any it has the example workflow
    packages: str | None = None

    @property
    def secret(self) -> str:
        """Return the name of the secret with the role's password."""
        return f"{self.name}-db"

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its node. Raises HarnessError when the site lacks a secret, MissingPart without the program."""
        for name in (KEY, self.secret):
            if name not in place.secrets:
                raise HarnessError(
                    f"{self.name}: site {place.site.name} has no secret {name!r}; add its reference there"
                )
        # After a crash this file delays the next start by ten seconds.
        place.site.volume(self.volume).remove(JOURNAL)
        # Secrets in files, so that they are not in the environment of the process.
        env = SETTINGS | {
            "N8N_DEFAULT_BINARY_DATA_MODE": self.binary_data,
            "DB_POSTGRESDB_HOST": place.sql.inside.host,
            "DB_POSTGRESDB_PORT": str(place.sql.inside.port),
            "DB_POSTGRESDB_DATABASE": self.database,
            "DB_POSTGRESDB_USER": self.database,
            "DB_POSTGRESDB_PASSWORD_FILE": "@{file:password}",
            "N8N_ENCRYPTION_KEY_FILE": "@{file:key}",
            "N8N_USER_FOLDER": f"@{{volume:{self.volume}}}",
            "N8N_LISTEN_ADDRESS": "@{bind:http}",
            "N8N_HOST": "@{bind:http}",
            "N8N_PORT": "@{port:http}",
            "N8N_RUNNERS_BROKER_PORT": "@{port:broker}",
        }
        return (
            NodeSpec(
                name=self.name,
                argv=("start",) if runs_images(place.site) else (program("node"), program("n8n"), "start"),
                image=IMAGE,
                ports=("http", "broker"),
                volumes=(self.volume,),
                env=env,
                secrets={"password": place.secrets[self.secret], "key": place.secrets[KEY]},
                files={"password": "@{secret:password}", "key": "@{secret:key}"},
                # /healthz answers 200 before the database is checked.
                ready=Ready(port="http", path="/healthz/readiness", patience=PATIENCE.n8n_ready),
            ),
        )

    def sources(self) -> Sources:
        """Return its database, the folders of its files, and its key as a fingerprint only."""
        trees = tuple(Tree(f"{self.name}-{name}", self.volume, f".n8n/{name}", optional=True) for name in FOLDERS)
        return Sources(
            databases=(self.database,),
            trees=trees,
            fingerprints=(KEY,),
            volumes=(self.volume,),
            disposable=tuple((self.volume, path) for path in MADE_ANEW),
            volatile=VOLATILE,
        )

    def assertions(self, place: Place) -> Sequence[AssertionResult]:
        """Return whether each credential can be decrypted with its key, and whether packages of nodes are missing."""
        return assertions.ask(place, self.database, self.volume, KEY, self.packages)

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return the key functions (message 2.8.2). Raises HarnessError when a client secret is missing."""
        if self.own_keys:
            late = Late(PATIENCE.n8n_webhook, UNPUBLISHED)
            return declared_functions(self.name, self.own_keys, secrets, keys.MESSAGE, auth=True, patience=late)
        return keys.key_functions(self.name, secrets)

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Unpublish workflows that start by themselves; the same in both modes. Raises HarnessError."""
        return contain.hold(self.name, self.database, place)

    def release(self, place: Place, contained: Contained) -> Sequence[str]:
        """Publish them again; n8n notices by itself. Return a line for what is missing; raises HarnessError."""
        return contain.release(self.database, place, contained)

    def call_outside(self, _door: PublicDoor, secrets: Mapping[str, str], at: Address, to: Address) -> str:
        """Activate a schedule that sends requests to an address. Raises HarnessError."""
        from harness.services.n8n import example, outward  # noqa: PLC0415 - load requests, which only drills use here

        password = read_text_secret(secrets[example.OWNER_PASSWORD])
        return outward.call_on_schedule(f"http://{at}", password, f"http://{to}/")

    def seed(self, place: Place) -> None:
        """Create role, database and example workflows. Leaves nothing running. Raises HarnessError."""
        from harness.services.n8n import example  # noqa: PLC0415 - as above

        (spec,) = self.nodes(place)
        example.seed(place, spec, self.database, place.secrets[self.secret])
