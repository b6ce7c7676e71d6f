"""What n8n needs besides its data: the key of every credential, and the packages of the nodes in its workflows.

n8n starts without either, and only fails when a workflow needs them.
"""

from collections.abc import Callable, Iterator, Sequence

from harness.core.errors import HarnessError, reason_of
from harness.core.service import AssertionResult, Place
from harness.postgres.server import transaction
from harness.postgres.session import Connection
from harness.services.n8n.contain import HINT
from harness.services.n8n.credentials import DataKey, as_n8n_reads, is_locked, is_readable
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
PROVIDED = ("n8n-nodes-base", "@n8n/n8n-nodes-langchain")  # packages that come with n8n
CUSTOM = "CUSTOM"  # of nodes in n8n's folder of that name


def ask(place: Place, database: str, volume: str, key: str) -> tuple[AssertionResult, ...]:
    """Return what is found in a restored database. `key`: the name of the secret; one that fails is a result too."""
    calls: dict[str, Callable[[Connection], tuple[bool, str]]] = {
        f"its credentials can be decrypted with {key}": lambda sql: _credentials(sql, place, key),
        "the packages of its nodes are installed": lambda sql: _packages(sql, place, volume),
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
        locked = _some([identifier for identifier, one in data_keys.items() if is_locked(one, value)])
        mend = f"another key wraps {locked} of its table deployment_key: give {place.site.name} that key"
        mend = mend if locked else "enter them anew in n8n, or delete them"
        return False, f"{len(closed)} of {len(rows)} cannot: {_some(closed)}; {mend}"
    return True, f"all {len(rows)} can"


def _packages(sql: Connection, place: Place, volume: str) -> tuple[bool, str]:
    used: dict[str, str] = {}
    for workflow, kind in sql.execute(USED).fetchall():
        used.setdefault(str(kind).rpartition(".")[0], str(workflow))
    installed = [str(row[0]) for row in sql.execute(INSTALLED).fetchall()] if _exists(sql, "installed_packages") else []
    wanted = sorted({*used, *installed} - {*PROVIDED})
    if not wanted:
        return True, "only those that come with n8n"
    try:
        absent = tuple(_absent(place, volume, wanted))
    except HarnessError as error:
        return True, f"not looked for: {_some(wanted)} ({reason_of(error)})"
    lacking = [f"{name}, of workflow {used[name]!r}" for name in absent if name in used]
    if lacking:
        return False, f"not on {place.site.name}: {_some(lacking)}; install them there, or no such workflow runs"
    if absent:
        return True, f"not on {place.site.name}, and no published workflow has a node of them: {_some(absent)}"
    return True, _some(wanted)


def _absent(place: Place, volume: str, packages: Sequence[str]) -> Iterator[str]:
    """Yield the packages that are not in n8n's volume. Raises HarnessError for a volume without an answer."""
    files = place.site.volume(volume)
    for name in packages:
        path = ".n8n/custom" if name == CUSTOM else f".n8n/nodes/node_modules/{name}/package.json"
        try:
            files.inspect(path)
        except OSError:
            yield name


def _exists(sql: Connection, table: str) -> bool:
    row = sql.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return row is not None and bool(row[0])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
