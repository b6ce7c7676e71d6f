"""The kills: each command, killed before and after each of its calls to the store; what is listed, what is left."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from harness.backup.verify import verify_all
from harness.core.clock import SYSTEM
from harness.parts.programs import program
from harness.vault import read_text_secret
from tests.kills.store.bench import DIRECT, Bench, Run
from tests.kills.store.residue import unaccounted
from tests.kills.store.works import Work

MOMENTS = ("before", "after")
EACH = 20  # of the kills, one so often is followed by a restore, as well as each after which more is listed
SCRATCH = "kills_scratch"


@dataclass(frozen=True, slots=True)
class Row:
    """One kill. `mutation`: number and name of the call.

    `listed`: backups and lists of WAL before it, after it, after the reaper; `reaped`: backups and files of WAL that
    the reaper removed; `wrong`: the findings of `verify --all`; `left`: what nothing accounts for after the reaper.
    `again`: how the command ended that was run once more, `restored`: how a restore did; "" where it was not tried.
    """

    at: str
    work: str
    mutation: str
    moment: str
    listed: tuple[int, int, int]
    reaped: int
    wrong: tuple[str, ...]
    left: tuple[str, ...]
    again: str
    restored: str

    @property
    def bad(self) -> bool:
        failed = any(one not in ("", "done") for one in (self.again, self.restored))
        return bool(self.wrong or self.left or failed or self.listed[1] != self.listed[2])


def kill(bench: Bench, work: Work, moment: str, number: int, *, restore: bool = False) -> Row | None:
    """Kill a command at one call, and return what came of it; None when it had ended before."""
    bench.reset(work.base)
    before = listed(bench)
    run = bench.run(work.words, moment, number, work.meanwhile)
    if not run.killed:
        return None
    after = listed(bench)
    reaped, wrong = bench.reap(), findings(bench)
    counts, left = (before, after, listed(bench)), residue(bench, work)
    again = ""
    if work.again:
        done = bench.run(work.words, meanwhile=work.meanwhile)
        again = "done" if done.code == 0 else f"{done.code}: {done.output[-300:]}"
        bench.reap()
        wrong, left = (*wrong, *findings(bench)), (*left, *residue(bench, work))
    restored = WAYS[work.way](bench) if (restore or after > before) and listed(bench) else ""
    at = SYSTEM.wall().isoformat(timespec="seconds")
    call = f"{number} {run.calls[number - 1]}"
    return Row(at, work.name, call, moment, counts, reaped, wrong, left, again, restored)


def listed(bench: Bench) -> int:
    """Return how many backups and lists of WAL there are."""
    layout, store = bench.repository().layout, bench.store
    return sum(1 for kind in ("commit", "wal-batch", "wal-tail") for _ in store.list(layout.of(kind)))


def findings(bench: Bench) -> tuple[str, ...]:
    """Return what `verify --all` finds: every object of every listed backup and of the WAL is opened."""
    return tuple(
        f"{one.backup}: {one.said}" for one in verify_all(bench.repository(), bench.key, every=True) if one.wrong
    )


def residue(bench: Bench, work: Work) -> tuple[str, ...]:
    slots = bench.ask("SELECT count(*) FROM pg_replication_slots WHERE temporary AND NOT active")
    left = unaccounted(bench.repository(), bench.store, bench.key, work.recipients)
    return (*left, *([f"{slots} temporary replication slots"] if slots else []))


def restored_server(bench: Bench) -> str:
    """Restore the newest physical backup with its WAL; return "done", or why not."""
    run = bench.run(("restore", "--into", "restored", "--config", DIRECT))
    shutil.rmtree(bench.folder / "restored", ignore_errors=True)
    return "done" if run.code == 0 else f"{run.code}: {run.output[-300:]}"


def restored_database(bench: Bench) -> str:
    """Restore the dump of the newest logical backup into an empty database; return "done", or why not."""
    repository, sql = bench.repository(), bench.there.sql
    backup = repository.latest_valid(bench.key).backup
    path = next(one.path for one in backup.manifest.contents.databases if one.name == "guestbook")
    file = bench.folder / "guestbook.dump"
    file.write_bytes(b"".join(backup.read(f"{path}.dump")))
    bench.write(f"DROP DATABASE IF EXISTS {SCRATCH}", f"CREATE DATABASE {SCRATCH}")
    where = ["-h", sql.outside.host, "-p", str(sql.outside.port), "-U", sql.user, "-d", SCRATCH]
    env = {"PGPASSWORD": read_text_secret(sql.password_ref)}
    loaded = subprocess.run(
        [program("pg_restore"), "--exit-on-error", *where, str(file)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    bench.write(f"DROP DATABASE {SCRATCH}")
    return "done" if loaded.returncode == 0 else loaded.stderr[-300:]


def opened(_: Bench) -> str:
    """WAL alone restores nothing: it was opened by `findings`."""
    return ""


WAYS = {"physical": restored_server, "logical": restored_database, "wal": opened}


def matrix(
    bench: Bench, work: Work, sample: int, without: Collection[tuple[str, int]] = (), *, changes: bool = False
) -> Iterator[Row]:
    """Yield a row for each kill of a work, all or a sample, but for those of `without`. First and last: a clean run.

    `changes`: only calls that change the store.
    """
    calls = clean(bench, work).calls
    count = len(calls)
    points = [(moment, number) for number in range(1, count + 1) for moment in MOMENTS]
    points = [point for point in points if point not in without]
    points = [point for point in points if not changes or not calls[point[1] - 1].startswith("GET")]
    points.sort(key=lambda point: calls[point[1] - 1].startswith("GET"))  # stopped early, it has seen every change
    print(f"{work.name}: {count} calls, {len(points)} kills", flush=True)
    for place, (moment, number) in enumerate(random.sample(points, min(sample, len(points))) if sample else points):
        row = kill(bench, work, moment, number, restore=place % EACH == 0)
        if row is not None:
            yield row
        elif work.meanwhile is None:
            raise SystemExit(f"{work.name}: it ended before call {number} of {count}")
    clean(bench, work)


def clean(bench: Bench, work: Work) -> Run:
    """Run a work to its end and return that; raises SystemExit when it leaves anything or what is listed is damaged."""
    bench.reset(work.base)
    run = bench.run(work.words, meanwhile=work.meanwhile)
    bench.reap()
    found = (*findings(bench), *residue(bench, work))
    if run.code or found:
        raise SystemExit(f"{work.name}: a run that was not killed ended with {run.code}, {found}: {run.output[-2000:]}")
    return run
