"""What n8n needs besides its data: the key of every credential, and the packages of the nodes in its workflows.

n8n starts without either, and only fails when a workflow needs them.
"""

import re
from collections.abc import Callable, Sequence

from harness.core.errors import HarnessError, reason_of
from harness.core.node import FILE, FOLDER, Files
from harness.core.service import AssertionResult, Place
from harness.core.text import some
from harness.postgres.server import transaction
from harness.postgres.session import Connection
from harness.services.n8n.contain import HINT
from harness.services.n8n.credentials import DataKey, as_n8n_reads, is_locked, is_readable
from harness.substrate.existing.site import is_elsewhere
from harness.vault import read_text_secret

SHOWN = 5  # names in a line
CREDENTIALS = "SELECT name, type, data FROM credentials_entity ORDER BY name, id"
DATA_KEYS = "SELECT id, value, algorithm FROM deployment_key WHERE type = 'data_encryption'"
INSTALLED = 'SELECT "packageName" FROM installed_packages ORDER BY 1'
USED = """
    SELECT DISTINCT w.name, n->>'type' FROM workflow_entity w
    JOIN workflow_history h ON h."versionId" = w."activeVersionId", json_array_elements(h.nodes) n
    WHERE NOT coalesce((n->>'disabled')::boolean, false) AND n->>'type' LIKE '%.%' ORDER BY 1, 2
"""
# Packages that come with n8n; it makes the last one from a table of its database.
PROVIDED = ("n8n-nodes-base", "@n8n/n8n-nodes-langchain", "@n8n/mcp-registry")
CUSTOM = "CUSTOM"  # of nodes in n8n's folder of that name, and in those of N8N_CUSTOM_EXTENSIONS
VOLUME, ELSEWHERE = "volume", "elsewhere"  # where a declaration says that DR's n8n has its packages
REMEDY = f'packages = "{ELSEWHERE}" if n8n\'s image or its start brings them'
NAME = re.compile(r"[\w@./~-]+")


def ask(place: Place, database: str, volume: str, key: str, packages: str | None) -> tuple[AssertionResult, ...]:
    """Return what is found in a restored database; what fails is a result too.

    `key`: the name of the secret. `packages`: where the declaration says that n8n has them, None if it does not.
    """
    calls: dict[str, Callable[[Connection], tuple[bool | None, str]]] = {
        f"its credentials can be decrypted with {key}": lambda sql: _credentials(sql, place, key),
        "the packages of its nodes are installed": lambda sql: _packages(sql, place, volume, packages),
    }
    results = []
    for name, call in calls.items():
        try:
            with transaction(place.sql, database, HINT) as connection:
                passed, detail = call(connection)
        except HarnessError as error:
            passed, detail = False, reason_of(error)
        results.append(AssertionResult(database, name, passed, detail))
    return tuple(results)


def _credentials(sql: Connection, place: Place, key: str) -> tuple[bool, str]:
    if key not in place.secrets:
        return False, f"site {place.site.name} has no secret {key!r}"
    value = as_n8n_reads(read_text_secret(place.secrets[key]))
    data_keys = {}
    if _exists(sql, "deployment_key"):  # since n8n 2.17
        data_keys = {str(row[0]): DataKey(str(row[1]), str(row[2])) for row in sql.execute(DATA_KEYS).fetchall()}
    rows = sql.execute(CREDENTIALS).fetchall()
    closed = [f"{name!r} ({kind})" for name, kind, data in rows if not is_readable(str(data), value, data_keys)]
    if closed:
        locked = some([identifier for identifier, one in data_keys.items() if is_locked(one, value)], SHOWN)
        mend = f"another key wraps {locked} of its table deployment_key: give {place.site.name} that key"
        mend = mend if locked else "enter them anew in n8n, or delete them"
        return False, f"{len(closed)} of {len(rows)} cannot: {some(closed, SHOWN)}; {mend}"
    return True, f"all {len(rows)} can"


def _packages(sql: Connection, place: Place, volume: str, declared: str | None) -> tuple[bool | None, str]:
    used: dict[str, str] = {}
    for workflow, kind in sql.execute(USED).fetchall():
        used.setdefault(str(kind).partition(".")[0], f"of workflow {workflow!r}")  # n8n parts a type there too
    installed = [str(row[0]) for row in sql.execute(INSTALLED).fetchall()] if _exists(sql, "installed_packages") else []
    wanted = sorted({*used, *installed} - {*PROVIDED})
    if not wanted:
        return True, "only those that come with n8n"
    absent, unseen = _look(place, volume, wanted)
    lacking = [f"{_plain(name)}, {used[name]}" for name in absent if name in used]
    unknown = [f"{_plain(name)}, {used[name]}" for name in unseen if name in used]
    said = [f"not on {place.site.name}: {some(lacking, SHOWN)}"] if lacking else []
    if unknown:
        said.append(f"not looked for: {some(unknown, SHOWN)} ({'; '.join(dict.fromkeys(unseen.values()))})")
    if not said:
        rest = [_plain(name) for name in wanted if name in (*absent, *unseen)]
        where = f"not found on {place.site.name}, and no published workflow has a node of them: "
        return True, f"{where}{some(rest, SHOWN)}" if rest else some(wanted, SHOWN)
    line = "; ".join(said)
    if declared == ELSEWHERE:
        return True, f"{line}; declared as elsewhere"
    if declared == VOLUME and lacking:
        return False, f"{line}; install them there, or no such workflow runs"
    return None, f"{line}; see that they are there, or declare {REMEDY}"


def _look(place: Place, volume: str, packages: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the packages that are not in n8n's volume, and of others by name why that cannot be told."""
    absent, unseen = [], {}
    if is_elsewhere(place.site, volume):
        return [], dict.fromkeys(packages, f"volume {volume} of {place.site.name} is not mounted here")
    try:
        files = place.site.volume(volume)
    except HarnessError as error:
        return [], dict.fromkeys(packages, reason_of(error))
    for name in packages:
        try:
            if not (_has_custom(files) if name == CUSTOM else _has_package(files, name)):
                absent.append(name)
        except (OSError, HarnessError) as error:
            unseen[name] = reason_of(error)
    return absent, unseen


def _has_package(files: Files, name: str) -> bool:
    """Return whether a package is there. Raises OSError, UsageError where that cannot be told."""
    try:
        files.inspect(f".n8n/nodes/node_modules/{name}/package.json")
    except FileNotFoundError:
        return False
    return True


def _has_custom(files: Files) -> bool:
    """Return whether there is a node in n8n's own folder. Raises OSError, HarnessError where that cannot be told."""
    odd = ""
    try:
        for entry in files.scan(".n8n/custom"):
            if entry.path.endswith(".node.js"):
                return True
            if entry.kind not in (FILE, FOLDER):
                odd = f"{entry.path} {entry.kind}"
    except FileNotFoundError:
        return False
    if odd:
        raise HarnessError(odd)
    return False


def _exists(sql: Connection, table: str) -> bool:
    row = sql.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return row is not None and bool(row[0])


def _plain(name: str) -> str:
    """Return a name as it is shown: anybody who edits workflows chooses it."""
    return name if NAME.fullmatch(name) else repr(name)
