"""The image for clusters holds neither the strike nor the faults, and its commands work without them."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from harness.images.build.recipes import recipe
from harness.images.context import DRILLS_ALONE, ROOT, new_context
from harness.repository.writer import PROGRAMS
from tests.package.installed import blackstart

ASKED = re.compile(r"""(version|distribution|metadata)\(["']blackstart["']\)""")
CODE = f"{ROOT}/opt/blackstart/code/"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image's context, unpacked."""
    folder = tmp_path_factory.mktemp("image")
    with new_context() as (context, file):
        recipe("blackstart").fill(context, "")
        context.archive.close()
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")
    return folder


def test_it_holds_the_product_alone(image: Path) -> None:
    names = {path.relative_to(image / CODE).as_posix() for path in (image / CODE).rglob("*") if path.is_file()}
    assert {name.partition("/")[0] for name in names} == {"harness", "notifier"}
    assert {"harness/cli/restore_test.py", "harness/recovery/recover.py", "harness/parts/locks/programs.lock"} <= names
    assert not [name for name in names if name.startswith(DRILLS_ALONE) or "__pycache__" in name]
    assert not [name for name in names if {"steps", "fixtures", "features"} & set(name.split("/"))]
    assert (image / f"{ROOT}/usr/local/bin/blackstart").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--version"], 0, ""),
        (["doctor"], 0, ""),
        (["backup"], 2, "estate.toml: No such file or directory"),
        (["restore-test"], 2, "estate.toml: No such file or directory"),
        (["sweep"], 0, ""),
        (["up"], 3, "drills are not in this image"),
        (["prepare"], 3, "drills are not in this image"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_its_commands_work_or_say_why_not(image: Path, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = blackstart(*words, at=tmp_path, path=(image / CODE,))
    assert (done.returncode, said in done.stderr, done.stderr.count("\n") <= 1) == (code, True, True), done.stderr


def test_its_code_asks_for_no_metadata_of_blackstart_itself(image: Path) -> None:
    """The image holds the code and no distribution: `importlib.metadata.version("blackstart")` would raise there."""
    assert not list(image.rglob("blackstart-*.dist-info"))
    asking = [path for path in image.rglob("*.py") if "version" in (text := path.read_text()) and ASKED.search(text)]
    assert not asking
    assert "blackstart" not in PROGRAMS
