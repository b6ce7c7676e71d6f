"""Conformance suite of volumes: the same tests on every substrate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.node import NodeSpec
from tests.substrate.substrates_under_test import SubstrateUnderTest


def test_a_volume_is_shared_within_its_site_only(tested: SubstrateUnderTest) -> None:
    site = tested.substrate.site("primary")
    with site.volume("data").open("one", "wb") as file:
        file.write(b"1")
    assert list(site.volume("data").walk()) == ["one"]
    assert list(site.volume("other").walk()) == []
    assert list(tested.substrate.site("dr").volume("data").walk()) == []


def test_a_volume_lists_measures_and_removes(tested: SubstrateUnderTest) -> None:
    volume = tested.substrate.site("primary").volume("data")
    for path in ("b/2", "a", "b/c/3", "b-1"):
        with volume.open(path, "wb") as file:
            file.write(path.encode())
    assert list(volume.walk()) == ["a", "b-1", "b/2", "b/c/3"]
    assert volume.size == len("b/2ab/c/3b-1")
    with volume.open("a", "wb") as file:
        file.write(b"overwritten")
    with volume.open("a", "rb") as file:
        assert file.read() == b"overwritten"
    for path in ("b", "a", "nothing", "nothing/below"):
        volume.remove(path)
    assert list(volume.walk()) == ["b-1"]
    with pytest.raises(FileNotFoundError):
        volume.open("a", "rb")


def test_no_path_leaves_a_volume(tested: SubstrateUnderTest) -> None:
    volume = tested.substrate.site("primary").volume("data")
    for path in ("../out", "/etc/passwd", "a/../../out", "..", "", "."):
        for mode in ("rb", "wb"):
            with pytest.raises(UsageError, match=r"volume data: .* leaves the volume"):
                volume.open(path, mode)
        with pytest.raises(UsageError, match="leaves the volume"):
            volume.remove(path)


def test_a_file_is_not_a_folder(tested: SubstrateUnderTest) -> None:
    volume = tested.substrate.site("primary").volume("data")
    volume.open("file", "wb").close()
    with pytest.raises(UsageError, match="'file/below' leads through a link or a file"):
        volume.open("file/below", "wb")


def test_prepared_data_is_imported(tested: SubstrateUnderTest, tmp_path: Path) -> None:
    (tmp_path / "prepared/deep").mkdir(parents=True)
    (tmp_path / "prepared/deep/file").write_bytes(b"seeded")
    tested.substrate.import_volume("primary", "data", tmp_path / "prepared")
    with tested.substrate.site("primary").volume("data").open("deep/file", "rb") as file:
        assert file.read() == b"seeded"


def test_first_files_are_written_once_for_an_empty_volume(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    first = replace(spec, first_files={"settings": "listen @{port:talk}"})
    for found, then in ((b"listen ", b"changed"), (b"changed", b"again")):
        site.launch(first).kill()
        with site.volume("data").open("settings", "rb") as file:
            assert file.read().startswith(found)
        with site.volume("data").open("settings", "wb") as file:
            file.write(then)
