"""Continuous replication of objects from the primary's store to DR's, by rclone, until the strike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.core.node import Running, Site, Task
from harness.core.parallel import in_order
from harness.core.service import S3
from harness.on_disk import Names
from harness.parts.programs import program
from harness.patience import PATIENCE
from harness.s3.client import roots
from harness.s3.objects import Bucket

PAUSE = 0.5  # seconds between two rounds
SHOWN = 2  # last lines of rclone's output in an error message


def remote(name: str, access: str, secret: str, s3: S3) -> str:
    """Return a section of rclone's configuration; `access` and `secret` are names of secrets of the task."""
    scheme = "https" if s3.tls else "http"
    path_style = "false" if s3.path_style is False else "true"
    return (
        f"[{name}]\ntype = s3\nprovider = Other\nregion = {s3.region}\nforce_path_style = {path_style}\n"
        f"endpoint = {scheme}://{s3.outside}\n"
        f"access_key_id = @{{secret:{access}}}\nsecret_access_key = @{{secret:{secret}}}\n"
    )


def copy_task(source: S3, target: S3, bucket: str) -> Task:
    """Return the task that copies a bucket by checksum; what the source lost is kept at the target."""
    trusted = dict.fromkeys(file for s3 in (source, target) if (file := roots(s3)))
    return Task(
        name="rclone",
        argv=(
            program("rclone"),
            "copy",
            f"source:{bucket}",
            f"target:{bucket}",
            "--checksum",
            "--metadata",
            "--transfers=4",
            "--checkers=4",
            "--retries=1",
            "--low-level-retries=2",
            "--contimeout=3s",
            "--timeout=30s",
            "--s3-no-check-bucket",
            "--log-level=ERROR",
            "--config=@{file:rclone}",
            *(f"--ca-cert={path}" for path in trusted),
        ),
        secrets={
            "source-access": source.access_key_ref,
            "source-secret": source.secret_key_ref,
            "target-access": target.access_key_ref,
            "target-secret": target.secret_key_ref,
        },
        files={
            "rclone": remote("source", "source-access", "source-secret", source)
            + remote("target", "target-access", "target-secret", target)
        },
    )


@dataclass(slots=True)
class Replicator:
    """Copies every bucket again and again, in a thread from `start` to `stop`, by tasks on `site`."""

    site: Site
    source: S3
    target: S3
    buckets: Sequence[str]
    journal: Journal
    rounds: int = 0  # complete rounds
    last_success: float | None = None  # monotonic seconds at which the last successful round *began*
    last_error: str = ""  # why the last round failed, or ""
    _stopped: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _running: Running | None = None
    _thread: Thread | None = None

    def start(self) -> None:
        """Start the thread; return at once."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="replication", daemon=True)
            self._thread.start()

    def stop(self) -> float:
        """Kill a running copy and stop; afterwards the source is no longer read.

        Return the begin of the last complete round in monotonic seconds, 0 without one: what was stored before it has
        been copied, what was stored later may have been, in any order.
        """
        self._stopped.set()
        with self._lock:
            if self._running is not None:
                self._running.__exit__(None, None, None)
        if self._thread is not None:
            self._thread.join()
        return self.last_success or 0.0

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = SYSTEM.monotonic()
            failed = [line for bucket in self.buckets if (line := self._copy(bucket))]
            if self._stopped.is_set():
                return
            self._count(began, "; ".join(failed))
            self._stopped.wait(PAUSE)

    def _count(self, began: float, error: str) -> None:
        """Count a round, and journal a change between success and failure."""
        if error:
            if not self.last_error:
                self.journal.mark("log", "replication failed", error=error)
        else:
            if self.last_error or self.last_success is None:
                self.journal.mark("log", "replication works", buckets=", ".join(self.buckets))
            self.rounds += 1
            self.last_success = began
        self.last_error = error

    def _copy(self, bucket: str) -> str:
        """Copy one bucket; return why it failed, "" if it succeeded."""
        if self._stopped.is_set():
            return ""
        try:
            task = copy_task(self.source, self.target, bucket)
            with self._lock:
                if self._stopped.is_set():
                    return ""
                self._running = self.site.run(task)
            with self._running as running:
                done = running.finish(PATIENCE.replication_round)
        except HarnessError as error:
            return f"bucket {bucket}: {error}"
        finally:
            with self._lock:
                self._running = None
        if done.code == 0:
            return ""
        lines = [line.strip() for line in done.errors.splitlines() if line.strip()]
        return f"bucket {bucket}: {' | '.join(lines[-SHOWN:])} (rclone exited with {done.code})"


def missing(target: S3, bucket: str, referenced: Iterable[str]) -> tuple[str, ...]:
    """Return the `referenced` keys that are missing from the bucket, sorted. Raises HarnessError.

    Stores list some keys in another form (SeaweedFS a backslash as a slash): what is not listed is asked for.
    """
    wanted = Names(referenced)
    if not wanted:
        return ()
    found = Bucket(target, bucket)
    for listed in iter(found.keys()):
        wanted.discard(listed)
    return tuple(key for key, there in in_order(found.has, wanted) if not there)
