"""Phrases that the plain-words rule of the design replaces by terms that one can search for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Each in two parts, so that this file does not contain what it looks for.
HALVES = (
    ("be", "fall"),
    ("stands ", "already"),
    ("held", " up"),
    ("let(s|ting)?", " go"),
    ("mid", "-thought"),
    ("not ours", " to"),
    ("by and", " by"),
)
BANNED = re.compile("|".join("".join(halves) for halves in HALVES), re.IGNORECASE)


def test_code_features_and_documents_use_plain_words() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    found = []
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{name}:{at}: {line.strip()[:90]}" for at, line in enumerate(lines, 1) if BANNED.search(line)]
    assert not found


def test_the_phrases_are_found_in_every_form() -> None:
    for line in ("What be" + "falls a pod", "It lets" + " go of it", "Stands " + "already", "letting" + " go"):
        assert BANNED.search(line)
    assert not BANNED.search("The pod is held, upgraded and started again by the operator.")
