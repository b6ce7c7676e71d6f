"""An operator's mistake is one line that names the thing, and an exit code that is not zero. No traceback, ever."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import run
from tests.nested import PYTEST

ROOT = Path(__file__).resolve().parents[2]
DECLARED = """
[existing.primary]
sql = "127.0.0.1:1"
s3 = "127.0.0.1:2"
secrets = "production"
[existing.dr]
sql = "127.0.0.1:3"
s3 = "127.0.0.1:4"
secrets = "at-dr"
"""
NOWHERE = "127.0.0.1:9"
RECOVER = ("recover", "--offsite", NOWHERE, "--estate", "example-shop")


def blackstart(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    shutil.copy2(ROOT / "estate.toml", folder / "estate.toml")
    return run(folder, *words, **env)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("frobnicate",), 2, "No such command 'frobnicate'"),
        (("backups", "--frob"), 2, "No such option: --frob"),
        (("backup",), 2, "live.json: no such state file; start an estate with `blackstart up`"),
        (("backups",), 2, "no such state file"),
        (("schedule",), 2, "no such state file"),
        (("release",), 2, "recovered.json: no such state file; name the file"),
        (("prepare", "--config", "none.toml"), 2, "none.toml: No such file or directory"),
        (("drill", "--reports", "/proc/reports"), 2, "cannot be written"),
        (("rehearse", "--config", "x"), 2, "is now called `blackstart restore-test`"),
        (("rehearse", "--help"), 2, "is now called `blackstart restore-test`"),
        ((*RECOVER[:3], "--secrets", "s"), 2, "standard input is at its end"),
        (("report",), 2, "no drill has run yet; run `blackstart drill`"),
        (("refine",), 2, "no record there"),
        (("refine", "none"), 2, "none: no such record"),
        (("sweep", "none"), 2, "none: no such run"),
        (
            ("keys", "new", "laptop"),
            2,
            "laptop: no key of that name is read by any command; write dr, escrow, writer or targets",
        ),
        (("keys", "new", "dr", "here", "here"), 2, "private and public key may not be in one folder"),
        ((*RECOVER, "--secrets", "s"), 2, "no evidence that the primary is down"),
        ((*RECOVER[:4], "other", "--secrets", "s", "--fenced", "burnt"), 2, "'example-shop', not 'other'"),
        ((*RECOVER, "--secrets", "s", "--fenced", "burnt"), 2, "s/dr: no secrets in this folder"),
        (("recover", "--offsite", "nonsense", *RECOVER[3:], "--secrets", "s", "--fenced", "x"), 2, "write HOST:PORT"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_line(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = blackstart(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_typing_error_in_the_declaration_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text((ROOT / "estate.toml").read_text().replace("bulk_mb", "bulkmb"))
    done = blackstart(tmp_path, "prepare", "--config", "mine.toml")
    assert done.returncode == 2
    assert "mine.toml: data.bulkmb: unknown key; did you mean 'bulk_mb'?" in done.stderr


FILES = {
    "a folder": None,
    "binary": bytes(range(256)),
    "empty": b"",
    "the same key twice": b'[estate]\nname = "a"\nname = "b"\n',
    "a thousand mistakes": b"[estate]\n" + b"".join(b"k%d = 1\n" % n for n in range(1000)),
    "nested too deeply": b"a = " + b"[" * 20_000,
    "a number of 6000 digits": b"a = " + b"9" * 6000,
    "control characters": b'[estate]\n"a\\nb\\u001b[31m" = 1\n',
}


@pytest.mark.night
@pytest.mark.parametrize("command", ["backup", "check", "drill"])
@pytest.mark.parametrize("name", FILES)
def test_whatever_is_named_as_declaration_is_an_answer(tmp_path: Path, name: str, command: str) -> None:
    """One line and exit code 2; `check` has a line for each mistake."""
    file, text = tmp_path / "Erklärung der Läden.toml", FILES[name]
    file.mkdir() if text is None else file.write_bytes(text)
    done = blackstart(tmp_path, command, "--config", file.name, LC_ALL="C")
    assert done.returncode == 2, done.stderr + done.stdout
    said = (done.stdout + done.stderr).strip().splitlines()
    assert len(said) == 1 or command == "check"
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_hint_is_a_close_spelling_or_none(tmp_path: Path) -> None:
    """`files` was once answered with `volumes`, which declares something else."""
    (tmp_path / "mine.toml").write_text((ROOT / "estate.toml").read_text().replace("bulk_mb", "alerts"))
    done = blackstart(tmp_path, "backups", "--config", "mine.toml")
    assert "data.alerts: unknown key; known: bulk_mb" in done.stderr
    assert "did you mean" not in done.stderr


def test_a_mistake_in_the_patience_is_named(tmp_path: Path) -> None:
    done = blackstart(tmp_path, "doctor", BLACKSTART_PATIENCE_ODO_READY="9")
    assert done.returncode == 2
    assert "BLACKSTART_PATIENCE_ODO_READY: no such patience; did you mean" in done.stderr


def test_a_missing_part_is_named_with_what_to_type(tmp_path: Path) -> None:
    done = blackstart(tmp_path, "doctor", BLACKSTART_CACHE=str(tmp_path / "empty"))
    assert done.returncode == 3
    assert "missing parts:" in done.stderr
    assert "run `blackstart prepare`" in done.stderr


@pytest.mark.night
def test_drills_stop_at_once_with_a_part_missing(tmp_path: Path) -> None:
    command = [*PYTEST, "features/estate", f"--reports={tmp_path / 'reports'}"]
    env = os.environ | {"BLACKSTART_CACHE": str(tmp_path / "empty")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "missing parts: " in done.stderr
    assert "run `blackstart prepare`" in done.stderr


def test_a_pair_is_made_with_its_private_half_for_the_owner_alone(tmp_path: Path) -> None:
    done = blackstart(tmp_path, "keys", "new", "dr", "private", "public")
    assert done.returncode == 0, done.stderr
    mode = stat.S_IMODE((tmp_path / "private/recipient.pem").stat().st_mode)
    assert mode == 0o600
    assert "PUBLIC KEY" in (tmp_path / "public/recipient-dr.pub").read_text()
    for again in (("dr", "private", "elsewhere"), ("dr", "elsewhere", "public"), ("escrow", "private", "public")):
        done = blackstart(tmp_path, "keys", "new", *again)
        assert done.returncode == 2
        assert "is not overwritten" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_the_keys_of_an_estate_lie_where_the_other_commands_look(tmp_path: Path) -> None:
    """Without arguments both pairs are made, into the folders that the declaration names."""
    (tmp_path / "mine.toml").write_text((ROOT / "estate.toml").read_text() + DECLARED)
    done = blackstart(tmp_path, "keys", "new", "--config", "mine.toml")
    assert done.returncode == 0, done.stderr
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("recipient*"))
    assert made == [
        "at-dr/recipient.pem",
        "production/recipient-dr.pub",
        "production/recipient-escrow.pub",
        "secrets/escrow/recipient.pem",
    ]
    assert "move secrets/escrow/recipient.pem to a machine that stays offline" in done.stderr


def test_the_primary_that_still_answers_is_not_recovered_over(tmp_path: Path) -> None:
    code = (
        "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler);"
        "print(s.server_port, flush=True); s.serve_forever()"
    )
    server, quiet = [sys.executable, "-c", code], subprocess.DEVNULL
    with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=quiet, text=True, cwd=tmp_path) as primary:
        assert primary.stdout is not None
        url = f"http://127.0.0.1:{primary.stdout.readline().strip()}/"
        done = blackstart(tmp_path, *RECOVER, "--secrets", "s", "--witness", url)
        primary.kill()
    assert done.returncode == 3
    assert f"the primary still answers at {url}: port " in done.stderr
    assert "takes connections; fence it before you recover, and add --fenced WHY" in done.stderr


@pytest.mark.parametrize(
    ("approver", "said"), [("", "nobody approved this run"), ("Schedule", "cannot approve what they")]
)
def test_a_restore_test_that_needs_an_approval_is_refused_without_another_person(
    tmp_path: Path, approver: str, said: str
) -> None:
    (tmp_path / "drill.toml").write_text('approval = "required"\n')
    words = ("restore-test", "--budgets", str(ROOT / "features/budgets.toml"), "--approver")
    done = blackstart(tmp_path, *words, approver)
    assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    done = blackstart(tmp_path, *words, "The Owner")
    assert "declares no DR site under [existing.dr]" in done.stderr
    assert not (tmp_path / "reports").exists()
