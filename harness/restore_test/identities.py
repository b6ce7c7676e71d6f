"""Identities of the declared DR site, as an entry of the list of drill targets; nothing is changed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.core.errors import HarnessError, reason_of
from harness.core.service import S3
from harness.estate.config import Config
from harness.estate.existing import cluster_api, declared_site, references, s3_at, sql_at
from harness.postgres.identity import system_facts
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.s3.client import ESTATE, asked, client, read_tag
from harness.s3.server import ACCESS, SECRET

NAME = "dr"


@dataclass(slots=True)
class Identities:
    """What identifies a site. `cluster`: "" outside a cluster; `tags`: bucket -> tag; `unread`: what is not known."""

    system: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    cluster: str = ""
    unread: list[str] = field(default_factory=list)

    def entry(self) -> str:
        """Return the entry of the list in TOML, with the first tagged bucket; what could not be read is left out."""
        bucket = min(self.tags, default="")
        found = {"name": NAME, "system": self.system, "bucket": bucket, "tag": self.tags.get(bucket, "")}
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in found.items() if value]
        if self.cluster:
            lines.append(f"cluster = {json.dumps(self.cluster)}")
        return "\n".join(("[[target]]", *lines))

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Note an error of the block instead of raising it."""
        try:
            yield
        except (HarnessError, OSError) as error:
            self.unread.append(f"{what} cannot be read: {reason_of(error)}")


def identities_of(config: Config, bucket: str = "") -> Identities:
    """Return the identities of the declared DR site; raises UsageError when it is not declared or secrets are missing.

    `bucket`: the one whose tag is read; without it, every bucket of the store. A server that is scaled to zero or does
    not answer is in `unread`.
    """
    table, found = declared_site(config, "dr"), Identities()
    secrets = references(table.secrets, SUPERUSER_PASSWORD, ACCESS, SECRET)
    sql, s3 = sql_at(table, secrets), s3_at(table, secrets)
    if table.cluster is not None:
        with found.reading("cluster"):
            found.cluster = cluster_api(table.cluster).identity()
    with found.reading("database system"):
        found.system = system_facts(sql).identifier
    with found.reading("bucket tag"):
        for name in [bucket] if bucket else buckets_at(s3):
            if tag := read_tag(s3, name):
                found.tags[name] = tag
        if not found.tags:
            where = f"bucket {bucket}" if bucket else "no bucket of its store"
            found.unread.append(
                f"{where} has {'no' if bucket else 'a'} tag `{ESTATE}`; tag one that only this site has: "
                f"mc tag set ALIAS/BUCKET '{ESTATE}={config.estate.name}-dr'"
            )
    return found


def buckets_at(s3: S3) -> list[str]:
    """Return the names of all buckets of a store. Raises HarnessError."""
    with asked(s3, "*", "buckets cannot be listed"):
        return sorted(str(one.name) for one in client(s3).list_buckets())
