"""Table of images: public references, ports, programs.

The public image is used if the engine has it or can pull it; `make images` bakes the others, with the same contract
(`tests/images/test_contract.py`): every image runs as any user, with a read-only root file system, `/tmp` and its
`scratch` folders in memory, and its volumes below `/volumes`; its programs are on PATH.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.errors import MissingPart

OURS = "blackstart"  # repository name of baked images
FIRST_PORT = 8000  # of an image that is not in the table


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `public`: its reference in a registry, "" if it is only baked.

    `ports`: port name of a node -> port number in the container. `programs`: programs on its PATH. `scratch`: folders
    for temporary files besides `/tmp`.
    """

    name: str
    public: str
    ports: Mapping[str, int] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()


MINIO_VERSION = "RELEASE.2025-09-07T16-13-09Z"  # the last one that was published as an image
_PG_TOOLS = ("postgres", "initdb", "pg_dump", "pg_dumpall", "pg_restore", "psql", "pg_isready")

IMAGES: tuple[Image, ...] = (
    Image("postgres", "postgres:18.6", {"sql": 5432}, _PG_TOOLS, ("/var/run/postgresql",)),
    Image("minio", f"minio/minio:{MINIO_VERSION}", {"s3": 9000}, ("minio",)),
    Image("odoo", "odoo:19.0-20260908", {"http": 8069}, ("odoo",)),
    Image("n8n", "n8nio/n8n:2.41.1", {"http": 5678, "broker": 5679}, ("n8n",)),
    Image("traefik", "traefik:v3.7.15", {"http": 8000}, ("traefik",)),
    Image("nginx", "nginx:1.31.3", {"http": 8080}, ("nginx", "mv")),
    Image("knot", "cznic/knot:v3.4.6", {"dns": 5353}, ("knotd",)),
    Image("kind-node", "kindest/node:v1.34.0"),
    Image("notifier", "", {"http": 8080}, ("python3",)),
    Image("django", "", {"http": 8080}, ("python3",)),
    Image("blackstart", "", {"agent": 7070, "talk": 7000}, ("blackstart", "python3", "pg_dump", "pg_restore", "psql")),
)


def image(name: str) -> Image:
    """Return the image with that name; raises MissingPart when the table has none."""
    for one in IMAGES:
        if one.name == name:
            return one
    raise MissingPart(f"{name}: no such image; images are {', '.join(i.name for i in IMAGES)}")


def known(name: str) -> bool:
    """Return whether `name` is in the table; if not, it is a reference."""
    return any(one.name == name for one in IMAGES)


def scratch_of(name: str) -> tuple[str, ...]:
    """Return the scratch folders of an image; none if it is not in the table."""
    return image(name).scratch if known(name) else ()


def port_numbers(name: str, ports: tuple[str, ...]) -> dict[str, int]:
    """Return the port number in the container for each of a node's ports, assigned if the table has none."""
    given = image(name).ports if known(name) else {}
    return {port: given.get(port, FIRST_PORT + number) for number, port in enumerate(ports)}
