"""What other programs say of damaged backups: `python -m benchmarks.repository.museum` (root).

Each damage is done to a fresh copy of a good backup, which the same command accepts first. A row for each is written to
`results/museum.jsonl`. What blackstart says of damages of these kinds, and of 50 others, is tested by `tests/museum`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from benchmarks import page
from benchmarks.repository.servers import BUCKET, Servers, running
from benchmarks.repository.sides import PGBACKREST, Sides
from benchmarks.rows import RESULTS
from harness.core.errors import HarnessError

FLIP = "printf '\\x{byte}' | dd of={file} bs=1 seek={place} conv=notrunc status=none"
TOLD = re.compile("error|status|invalid|mismatch|missing", re.IGNORECASE)
S3 = f":s3:{BUCKET}"


@dataclass(frozen=True, slots=True)
class Row:
    """What a program returned for a damaged backup: exit code, and its last complaint, else its last line."""

    tool: str
    damage: str
    code: int
    said: str


@dataclass(slots=True)
class Museum:
    """The servers, and a folder with the good backups."""

    servers: Servers
    sides: Sides

    def says(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and the last line with a complaint, else the last one."""
        said = self.servers.sh(f"({command}) 2>&1; code=$?; echo; echo $code", check=False).rstrip().split("\n")
        lines = [line.strip() for line in said[:-1] if line.strip()]
        told = [line for line in lines if TOLD.search(line)] or lines
        return int(said[-1]), told[-1][:160] if told else ""

    def shown(self, tool: str, good: str, check: str, damages: dict[str, str], undo: str) -> Iterator[Row]:
        """Yield a row for each damage. `good`: makes the backup; `undo`: puts it back as it was."""
        self.servers.sh(good)
        code, said = self.says(check)
        if code:
            raise HarnessError(f"{tool}: refuses the good backup with exit code {code}: {said}")
        for damage, command in damages.items():
            self.servers.sh(undo)
            self.servers.sh(command)
            yield Row(tool, damage, *self.says(check))

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        yield from self._dumps()
        yield from self._folder()
        yield from self._pgbackrest()
        yield from self._barman()

    def _dumps(self) -> Iterator[Row]:
        fresh = "dropdb --if-exists again && createdb again"
        files = {"pg_restore": "dump.custom", "psql": "dump.sql", "openssl": "dump.enc"}
        cipher = "-aes-256-cbc -pbkdf2 -pass file:pass"
        made = {
            "pg_restore": "pg_dump -Fc -Z0 -f dump.custom postgres",
            "psql": "pg_dump -Fp -f dump.sql postgres",
            "openssl": f"pg_dump -Fp postgres | openssl enc -e {cipher} -out dump.enc",
        }
        checks = {
            "pg_restore": f"{fresh} && pg_restore --exit-on-error -d again dump.custom",
            "psql": f"{fresh} && psql -Xq -v ON_ERROR_STOP=1 -d again -f dump.sql -o /dev/null",
            "openssl": f"openssl enc -d {cipher} -in dump.enc -out opened.sql",
        }
        for tool, name in files.items():
            half, block = f"$(($(stat -c %s {name}) / 2))", f"$(($(stat -c %s {name}) / 64 * 32))"
            cut = f"$(head -c {half} {name} | tac | tail -n +2 | wc -c)" if tool == "psql" else block
            swap = f"dd if={name}.good of={name} bs=32 conv=notrunc status=none count=1"
            damages = {
                "one byte altered": FLIP.format(byte="37", file=name, place=half),
                "second half missing": f"truncate -s {cut} {name}",
                "a block written over another": f"{swap} skip=2000 seek=2004",
            }
            yield from self.shown(tool, f"{made[tool]} && cp {name} {name}.good", checks[tool], damages,
                                  f"cp {name}.good {name}")  # fmt: skip

    def _folder(self) -> Iterator[Row]:
        table = "$(psql -XAtc \"select pg_relation_filepath('item')\")"
        damages = {
            "one byte altered": FLIP.format(byte="ff", file=f"folder/{table}", place=99_999),
            "a file missing": f"rm folder/{table}",
            "WAL missing": "rm folder/pg_wal/0*",
            "each file of WAL altered at byte 5000": "for f in folder/pg_wal/0*; do "
            + FLIP.format(byte="ff", file="$f", place=5000)
            + "; done",
        }
        good = "pg_basebackup -X fetch -c fast -D folder && cp -a folder folder.good"
        check = "pg_verifybackup folder"
        yield from self.shown("pg_verifybackup", good, check, damages, "rm -rf folder && cp -a folder.good folder")

    def _in_store(self, tool: str, good: str, check: str, prefix: str, damages: dict[str, str]) -> Iterator[Row]:
        keep = f"rclone copy {S3}/{prefix} {prefix}.good"
        yield from self.shown(tool, f"{good} && {keep}", check, damages, f"rclone sync {prefix}.good {S3}/{prefix}")

    def _pgbackrest(self) -> Iterator[Row]:
        (full,) = (one.command for one in self.sides.full() if one.side == PGBACKREST)
        prefix = f"pgbackrest/r{self.sides.number}"
        at = f"{S3}/{prefix}"
        largest = f"$(rclone lsf -R --files-only --format sp {at}/backup/main | sort -n | tail -1 | cut -d';' -f2)"
        segments = f"rclone lsf -R --files-only --include '*.zst' {at}/archive/main | sort"
        one = f"$({segments} | tail -2 | head -1)"
        flip = FLIP.format(byte="ff", file="got", place=5000)
        damages = {
            "one byte of a file altered": f"f={largest}; rclone cat {at}/backup/main/$f >got; {flip}; "
            f"rclone rcat {at}/backup/main/$f <got",
            "a file missing": f"rclone deletefile {at}/backup/main/{largest}",
            "the backup's folder missing": f"rclone delete --include '/*F/**' {at}/backup/main",
            "a segment of WAL missing": f"rclone deletefile {at}/archive/main/{one}",
            "all WAL missing": f"rclone delete --include '*.zst' {at}/archive/main",
            "an older state put back": f"rclone delete --include '/*F/**' {at}/backup/main; "
            f"rclone delete --include 'backup.info*' {at}/backup/main",
        }
        check = f"{self.servers.rivals}/pgbackrest --stanza=main --log-level-console=info verify"
        yield from self._in_store("pgbackrest verify", full, check, prefix, damages)

    def _barman(self) -> Iterator[Row]:
        rivals, n = self.servers.rivals, self.sides.number
        cloud = f"--endpoint-url {self.servers.endpoint} --addressing-style path"
        good = f"{rivals}/barman-cloud-backup {cloud} --immediate-checkpoint -q -n full s3://{BUCKET}/barman r{n}"
        check = f"rm -rf back && {rivals}/barman-cloud-restore {cloud} -q s3://{BUCKET}/barman r{n} full back"
        at = f"{S3}/barman/r{n}/base"
        largest = f"$(rclone lsf -R --files-only --format sp {at} | sort -n | tail -1 | cut -d';' -f2)"
        flip = FLIP.format(byte="ff", file="got", place=5_000_000)
        damages = {
            "one byte of a file altered": f"f={largest}; rclone cat {at}/$f >got; {flip}; rclone rcat {at}/$f <got",
            "second half of a file missing": f"f={largest}; rclone cat {at}/$f >got; truncate -s 9000000 got; "
            f"rclone rcat {at}/$f <got",
            "a file missing": f"rclone deletefile {at}/{largest}",
        }
        yield from self._in_store("barman-cloud-restore", good, check, f"barman/r{n}", damages)


def main() -> None:
    """Do all damages, write the rows and the page."""
    found: list[Row] = []
    say: Callable[[str], None] = print
    with running(0.03) as servers:
        for row in Museum(servers, Sides(servers, 0, servers.ports[10])).rows():
            say(f"{row.tool}: {row.damage}: exit code {row.code}: {row.said}")
            found.append(row)
    text = "".join(f"{json.dumps(asdict(row))}\n" for row in found)
    (RESULTS / "museum.jsonl").write_text(text, encoding="utf-8")
    page.write()


if __name__ == "__main__":
    main()
