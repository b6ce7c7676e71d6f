"""M6, M7: what users of command lines expect. A mistake is one line that names it, before anything is started."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.cli.features import CODES
from tests.cli.test_mistakes import ROOT, blackstart

pytestmark = pytest.mark.attacks
LOSS = "features/estate/site_loss.feature"


@pytest.mark.parametrize("words", [("-h",), ("drill", "-h"), ("keys", "-h"), ("keys", "new", "-h"), ("backup", "-h")])
def test_m6_the_short_option_is_the_help_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    short, long = blackstart(tmp_path, *words), blackstart(tmp_path, *words[:-1], "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout), short.stderr
    assert short.stdout.startswith(f"Usage: blackstart {' '.join(words[:-1])}".strip())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--substrate=nope",), "--substrate: invalid choice: 'nope' (choose from 'embedded', 'docker', 'kind')"),
        (("--strategy", "hot"), "--strategy: invalid choice: 'hot'"),
        (("--frob",), "unrecognized arguments: --frob"),
        (("-k",), "-k: expected one argument"),
        (("-k", "loss("), "Wrong expression passed to '-k'"),
        (("-m", "("), "Wrong expression passed to '-m'"),
        (("--timeout=soon",), "--timeout: invalid float value: 'soon'"),
        (("features/none.feature",), "file or directory not found: features/none.feature"),
        ((f"{LOSS}::none",), f"file or directory not found: {LOSS}::none"),
        (("--deselect=x",), "--deselect would leave a drill without a verdict"),
        (("-p", "nope"), 'Error importing plugin "nope"'),
        (("--config",), "Option '--config' requires an argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_m6_a_mistake_in_the_words_of_a_drill_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = blackstart(tmp_path, "drill", *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("blackstart: ")
    assert said in line
    assert not (tmp_path / "reports/drills").exists()


def test_m6_a_mistake_in_the_words_of_faults_has_the_same_code(tmp_path: Path) -> None:
    done = blackstart(tmp_path, "faults", "--frob")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_m6_the_set_up_says_what_it_does() -> None:
    """Each slow command of it is announced before it begins."""
    makefile = (ROOT / "Makefile").read_text()
    for slow in ("-m venv $(VENV)", "uv pip sync"):
        before = makefile.partition(slow)[0].rpartition("\n\n")[2]
        assert '@echo "setup: ' in before, slow


@pytest.mark.parametrize("command", ["prepare", "up", "drill"])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zone =", "zonne =", "estate.zonne: unknown key; did you mean 'zone'?"),
        ('kind = "odoo"', 'kind = "odoo"\nneeds = ["gateway"]', "circular dependency: "),
        ('kind = "odoo"', 'kind = "odoo"\nneeds = ["odoo"]', "circular dependency: "),
        ("127.0.0.3", "127.0.0.2", "primary.edge and dr.edge are both 127.0.0.2"),
    ],
)
def test_m7_a_declaration_that_cannot_work_is_refused(
    tmp_path: Path, command: str, old: str, new: str, said: str
) -> None:
    text = (ROOT / "estate.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    done = blackstart(tmp_path, command, "--config", "mine.toml")
    assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert "Field required" not in done.stderr


def test_m7_a_missing_file_of_promises_is_no_matter_of_the_declaration(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    shutil.copy(ROOT / LOSS, tmp_path / "features")
    done = blackstart(tmp_path, "drill")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "features/budgets.toml: No such file or directory; promises are declared in that file" in done.stderr
    assert "--config" not in done.stderr


def test_m7_the_table_of_exit_codes_is_true() -> None:
    """The rows of the README are the codes of the code; those of pytest are shown by tests of what it exits with."""
    rows = dict(
        re.findall(r"^\| `(blackstart|pytest features/|make)` \|(.*)\|$", (ROOT / "README.md").read_text(), re.M)
    )
    written = {name: [int(cell) for cell in row.split("|")] for name, row in rows.items()}
    assert written["pytest features/"] == [0, 1, int(pytest.ExitCode.USAGE_ERROR), 3, 2, 5]
    assert written["blackstart"] == [CODES[code] for code in written["pytest features/"]]
    assert written["make"] == [0, 2, 2, 2, 2, 2]
