"""What of a stored schema a server can have: labels of loaded providers, and the compression that it was built with."""

import re
from collections.abc import Callable

from harness.core.service import Sql
from harness.postgres.contents.labels import LABEL, loaded, provider_of, statements_of
from harness.postgres.contents.schema import STORED, Entry
from harness.postgres.identity import ask

COMPRESSION = "default_toast_compression"
LZ4 = "lz4"
# As pg_dump writes it, in the entry of a table; before it may be the blanks of a statement that was taken out.
BY_LZ4 = r"(?m)^ *ALTER TABLE ONLY .* ALTER COLUMN .* SET COMPRESSION lz4;\n?"
STATEMENT = re.compile(BY_LZ4)
KNOWS = "SELECT %s = ANY (enumvals) FROM pg_catalog.pg_settings WHERE name = %s"


def has_lz4(sql: Sql) -> bool:
    """Return whether a server can compress by lz4. Raises HarnessError."""
    return ask(sql, KNOWS, values=(LZ4, COMPRESSION)) == [(True,)]


def possible(sql: Sql, database: str, lz4: bool | None = None) -> Callable[[Entry], Entry | None]:
    """Return a function that returns what of an entry the server of a database can have, None for nothing.

    It asks the server once for each ability that an entry needs. `lz4`: whether it can compress by that, None when it
    was not asked yet. Raises HarnessError.
    """
    known: dict[str, bool] = {} if lz4 is None else {"": lz4}

    def takes(provider: str) -> bool:
        if provider not in known:
            known[provider] = bool(loaded(sql, (provider,), database))
        return known[provider]

    def part(entry: Entry) -> Entry | None:
        if entry.key.kind == LABEL:
            return _with_labels(entry, takes)
        if entry.key.kind not in STORED or "SET COMPRESSION lz4;" not in entry.body:
            return entry
        if "" not in known:
            known[""] = has_lz4(sql)
        return entry if known[""] else Entry(entry.key, entry.owner, STATEMENT.sub("", f"{entry.body}\n").strip("\n"))

    return part


def _with_labels(entry: Entry, takes: Callable[[str], bool]) -> Entry | None:
    statements = statements_of(entry.body.encode(errors="surrogateescape"))
    taken = [one for one in statements if not (provider := provider_of(one)) or takes(provider)]
    if len(taken) == len(statements):
        return entry
    body = b"".join(b"%b;\n" % one for one in taken).decode(errors="surrogateescape")
    return Entry(entry.key, entry.owner, body.strip("\n")) if taken else None
