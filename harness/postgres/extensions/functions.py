"""Functions of an extension that were changed: pg_dump leaves them to CREATE EXTENSION, their changes too.

CREATE EXTENSION makes a function and its membership by one command of one transaction. A function that was made or
written by another one may have been changed by a user: also one that pg_upgrade or ALTER EXTENSION ... UPDATE made, and
one that was granted. Of each its properties are in the backup; a restore changes nothing where they are the same.

After an upgrade those are all functions, 800 of PostGIS, and one manifest may have hundreds of such databases. Of more
than MOST in a database only those are kept that a restore needs: an index, a view or another thing depends on them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.core.errors import Unreadable
from harness.postgres.contents.rows import qualified
from harness.postgres.roles.data import CLOSED, Name, Text
from harness.postgres.session import Connection

CHANGED = "function of extension "  # a property with such a function begins with it
MOST = 300  # functions of a database that are kept whether something depends on them or not
FUNCTION = """
SELECT e.extname::text, e.extversion, n.nspname::text, p.proname::text, pg_catalog.hashtextextended(
           concat_ws(' ', p.prosrc, pg_catalog.pg_get_function_sqlbody(p.oid)) COLLATE "C", 0)::text,
       ARRAY(SELECT s.nspname::text FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (type, at)
             JOIN pg_catalog.pg_type t ON t.oid = a.type JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
             ORDER BY a.at),
       ARRAY(SELECT t.typname::text FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (type, at)
             JOIN pg_catalog.pg_type t ON t.oid = a.type ORDER BY a.at),
       p.provolatile::text, p.proparallel::text, p.proisstrict, p.proleakproof, p.procost::float8, p.prorows::float8,
       p.prosecdef, ARRAY(SELECT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.unnest(p.proconfig) AS c ORDER BY 1),
       coalesce(pg_catalog.hashtextextended(p.proconfig::text COLLATE "C", 0), 0)::text
"""
# What an extension has of its own needs no change. An expression names a function, or an operator, which has one.
NEEDED = """
p.oid IN (
    SELECT coalesce(o.oprcode::oid, u.refobjid) FROM pg_catalog.pg_depend u LEFT JOIN pg_catalog.pg_operator o
      ON u.refclassid = 'pg_catalog.pg_operator'::regclass AND o.oid = u.refobjid
    WHERE u.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
      AND u.classid NOT IN ('pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_amproc'::regclass)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend m
                      WHERE m.classid = u.classid AND m.objid = u.objid AND m.deptype = 'e'))
"""
MEMBERS = """
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
JOIN pg_catalog.pg_proc p ON p.oid = d.objid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass
  AND d.deptype = 'e' AND p.prokind IN ('f', 'w')
"""
SINCE = f"{MEMBERS} AND NOT (p.xmin = d.xmin AND p.cmin = d.cmin)"
NUMBER = f"SELECT count(*) {SINCE}"
NUMBER_NEEDED = f"{NUMBER} AND {NEEDED}"
CHANGES = f"{FUNCTION} {SINCE} ORDER BY 1, 3, 4, 7, 6"
CHANGES_NEEDED = f"{FUNCTION} {SINCE} AND {NEEDED} ORDER BY 1, 3, 4, 7, 6"
OF_EXTENSIONS = f"{FUNCTION} {MEMBERS} AND e.extname = ANY(%s)"

Number = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of an extension. `schemas`, `types`: of its arguments; `version`: of the extension.

    `volatile`, `parallel`: letters of pg_proc. `definer`: whether it runs as its owner; `settings`: names of those that
    it makes, `configured` a hash of their values; `body`: a hash of its body. What is not in a backup is as here.
    """

    __pydantic_config__ = CLOSED

    extension: Name
    version: Text
    schema: Name
    name: Name
    body: Text
    schemas: tuple[Name, ...] = ()
    types: tuple[Name, ...] = ()
    volatile: Literal["i", "s", "v"] = "v"
    parallel: Literal["s", "r", "u"] = "u"
    strict: bool = False
    leakproof: bool = False
    cost: Number = 1.0
    rows: Number = 0.0
    definer: bool = False
    settings: tuple[Text, ...] = ()
    configured: Text = "0"

    @property
    def label(self) -> str:
        """Name and types of the arguments as in SQL."""
        of = zip(self.schemas, self.types, strict=True)
        return f"{qualified(self.schema, self.name)}({', '.join(qualified(schema, name) for schema, name in of)})"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other function of a database: its extension and its label."""
        return self.extension, self.label


@cache
def _reader() -> TypeAdapter[Function]:
    return TypeAdapter(Function)


def changed_functions(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return each function of an extension that may have been changed, a property. Raises psycopg.Error.

    Of more than MOST only those on which something depends.
    """
    rows = connection.execute((CHANGES_NEEDED if _number(connection) > MOST else CHANGES).encode()).fetchall()
    return tuple((f"{CHANGED}{one.extension}: {one.label}", _text(one)) for one in map(_function, rows))


def left_out(connection: Connection) -> int:
    """Return how many functions that may have been changed `changed_functions` leaves out. Raises psycopg.Error."""
    number = _number(connection)
    return number - _number(connection, NUMBER_NEEDED) if number > MOST else 0


def functions_of(connection: Connection, extensions: Sequence[str]) -> tuple[Function, ...]:
    """Return the functions of these extensions in a database. Raises psycopg.Error."""
    return tuple(map(_function, connection.execute(OF_EXTENSIONS.encode(), (list(extensions),)).fetchall()))


def parse_functions(properties: Iterable[tuple[str, str]]) -> tuple[Function, ...]:
    """Return the changed functions among the properties of a backup. Raises Unreadable, whatever their text is."""
    return tuple(_parsed(name, value) for name, value in properties if name.startswith(CHANGED))


def _parsed(name: str, value: str) -> Function:
    try:
        found = _reader().validate_json(value, strict=True)
    except (ValidationError, RecursionError):
        raise Unreadable(f"{name}: its properties are malformed; use another backup") from None
    if len(found.schemas) != len(found.types) or name != f"{CHANGED}{found.extension}: {found.label}":
        raise Unreadable(f"{name}: its properties are of another function; use another backup")
    return found


def _function(row: Sequence[object]) -> Function:
    values = (tuple(map(str, value)) if isinstance(value, list) else value for value in row)
    return Function(*values)  # type: ignore[arg-type]


def _number(connection: Connection, query: str = NUMBER) -> int:
    ((number,),) = connection.execute(query.encode()).fetchall()
    return int(number)


def _text(function: Function) -> str:
    """Return what differs from the defaults as JSON."""
    defaults = {one.name: one.default for one in fields(Function)}
    values = {name: value for name, value in asdict(function).items() if value != defaults[name]}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
