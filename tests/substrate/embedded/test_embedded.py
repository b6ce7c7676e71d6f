"""The embedded substrate alone: modes, links, environment, ports, first runs."""

from __future__ import annotations

import os
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import NodeSpec, Ready, Task
from harness.substrate.common.ports import take_port
from harness.substrate.embedded.substrate import Embedded
from tests.substrate.substrates_under_test import EmbeddedUnderTest, python, server, started

pytestmark = pytest.mark.programs


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_0700_and_files_0600(embedded: EmbeddedUnderTest, token: Path) -> None:
    site = embedded.substrate.site("primary")
    before = os.umask(0)
    try:
        node = started(site.launch(server(embedded, token)))
        with site.volume("data").open("a/b", "wb") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    run = embedded.substrate.run
    assert {path for path in (run, *run.rglob("*")) if path.is_dir() and mode(path) != 0o700} == set()
    assert mode(site.folder / "files/server/conf") == 0o600
    assert mode(site.folder / "volumes/data/a/b") == 0o600
    assert mode(node.log) == 0o600


def test_a_file_of_a_node_is_made_private_again(embedded: EmbeddedUnderTest, token: Path) -> None:
    node = started(embedded.substrate.site("primary").launch(server(embedded, token)))
    conf = embedded.substrate.run / "sites/primary/files/server/conf"
    node.kill()
    conf.chmod(0o644)
    node.start()
    assert mode(conf) == 0o600


def test_a_symbolic_link_does_not_lead_out_of_a_volume(embedded: EmbeddedUnderTest, tmp_path: Path) -> None:
    site = embedded.substrate.site("primary")
    volume = site.volume("data")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("private")
    for name, target in (("folder", outside), ("file", outside / "file"), ("hole", outside / "made")):
        (site.folder / "volumes/data" / name).symlink_to(target)
    for path in ("folder/file", "file"):
        with pytest.raises(UsageError, match="leads through a link"):
            volume.open(path, "rb")
    for path in ("folder/new", "file", "hole"):
        with pytest.raises(UsageError, match="leads through a link"):
            volume.open(path, "wb")
    assert list(volume.walk()) == []
    volume.remove("folder")  # the link, not what it leads to
    (site.folder / "volumes/data/folder").symlink_to(outside)
    with pytest.raises(UsageError, match="leads through a link"):
        volume.remove("folder/file")
    site.destroy()
    assert (outside / "file").read_text() == "private"
    assert not (outside / "made").exists()


def test_a_task_gets_a_minimal_environment(embedded: EmbeddedUnderTest) -> None:
    show = Task("show", python("import os; print(sorted(os.environ))"), env={"OWN": "1"})
    with embedded.substrate.site("primary").run(show) as running:
        names = set(eval(running.stdout.read()))  # noqa: S307 - our own program's list
    assert names - {"LC_CTYPE"} == {
        "PATH", "HOME", "LANG", "TZ", "TMPDIR", "OWN", "BLACKSTART_RUN", "BLACKSTART_NODE",
    }  # fmt: skip


def test_a_port_that_is_in_use_is_reported_in_one_line(embedded: EmbeddedUnderTest, token: Path) -> None:
    node = embedded.substrate.site("primary").launch(server(embedded, token))
    port = node.endpoint("talk").outside.port
    node.kill()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with pytest.raises(HarnessError, match=f"server on primary: port talk: 127.0.0.1:{port} is in use") as refused:
            node.start()
    assert "\n" not in str(refused.value)
    node.start()
    assert embedded.ask(node)


def test_the_port_of_a_killed_node_stays_reserved(embedded: EmbeddedUnderTest, token: Path) -> None:
    node = embedded.substrate.site("primary").launch(server(embedded, token))
    node.kill()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", node.endpoint("talk").outside.port))


def test_only_the_last_errors_of_a_task_are_kept_and_all_of_them_logged(embedded: EmbeddedUnderTest) -> None:
    with embedded.substrate.site("primary").run(Task("noisy", ("seq", "1000"))) as silent:
        silent.stdout.read()
        assert silent.finish(10).errors == ""
    with embedded.substrate.site("primary").run(Task("noisy", ("sh", "-c", "seq 1000 >&2"))) as running:
        errors = running.finish(10).errors.splitlines()
    assert errors == [str(number) for number in range(961, 1001)]
    assert len(embedded.log("primary/noisy-2").splitlines()) == 1000


def test_no_port_number_is_given_twice() -> None:
    numbers = []
    for _ in range(1000):
        port = take_port()
        port.release()
        numbers.append(port.number)
    assert len(set(numbers)) == len(numbers)


def test_a_first_run_happens_once_for_an_empty_volume(embedded: EmbeddedUnderTest) -> None:
    site = embedded.substrate.site("primary")
    spec = NodeSpec(
        "first",
        ("sh", "-c", "cat @{volume:data}/made && exec sleep 300"),
        volumes=("data",),
        ready=Ready(argv=("test", "-e", "@{volume:data}/made"), patience=5),
        first_run=(("sh", "-c", "echo making"), ("sh", "-c", "echo made >> @{volume:data}/made")),
    )
    node = site.launch(spec)
    node.kill()
    node.start()
    with site.volume("data").open("made", "rb") as file:
        assert file.read() == b"made\n"
    assert embedded.log("primary/first").splitlines().count("making") == 1


def test_a_failed_first_run_is_reported_and_leaves_the_volume_empty(embedded: EmbeddedUnderTest) -> None:
    site = embedded.substrate.site("primary")
    spec = NodeSpec(
        "first", ("sleep", "300"), volumes=("data",),
        first_run=(("touch", "@{volume:data}/half"), ("sh", "-c", "echo no room; exit 9")),
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(HarnessError, match=r"first on primary: sh ended with code 9: .*no room"):
            site.launch(spec)
        assert list(site.volume("data").walk()) == []


def test_a_node_that_never_gets_ready_is_killed(embedded: EmbeddedUnderTest) -> None:
    spec = NodeSpec("deaf", ("sh", "-c", "echo thinking; exec sleep 300"), ports=("talk",))
    for ready in (Ready(port="talk", patience=0.2), Ready(argv=("false",), patience=0.2)):
        with pytest.raises(TookTooLong, match=r"deaf on primary: ready: not within 0.2 s .* its log ends: .*thinking"):
            embedded.substrate.site("primary").launch(replace(spec, ready=ready))
        assert embedded.living() == 0


def test_a_page_of_another_status_is_not_ready(embedded: EmbeddedUnderTest) -> None:
    argv = (sys.executable, "-m", "http.server", "-b", "@{bind:http}", "@{port:http}")
    spec = NodeSpec("web", argv, ports=("http",), ready=Ready(port="http", path="/absent", status=404, patience=10))
    site = embedded.substrate.site("primary")
    site.launch(spec).kill()
    with pytest.raises(TookTooLong, match="/absent answers 404, not 200"):
        site.launch(replace(spec, ready=Ready(port="http", path="/absent", patience=0.5)))


def test_two_harnesses_of_one_run_do_not_share_a_tasks_folder(embedded: EmbeddedUnderTest) -> None:
    other = Embedded(embedded.substrate.run, embedded.substrate.logs)
    keep = Task("keep", ("sh", "-c", "cat @{file:mine}"), files={"mine": "first"})
    with (
        embedded.substrate.site("primary").run(keep) as one,
        other.site("primary").run(replace(keep, files={"mine": "second"})) as two,
    ):
        assert (one.stdout.read(), two.stdout.read()) == (b"first", b"second")


def test_a_finished_task_leaves_no_files_and_no_empty_log(embedded: EmbeddedUnderTest) -> None:
    site = embedded.substrate.site("primary")
    for number, script in enumerate(("cat @{file:mine}", "echo heard >&2", "true"), 1):
        with site.run(Task("once", ("sh", "-c", script), files={"mine": "x"})) as running:
            running.stdout.read()
            assert (site.folder / f"files/once-{number}/mine").exists()
    assert list((site.folder / "files").iterdir()) == []
    assert [log.name for log in site.logs.iterdir()] == ["once-2.log"]


def test_prepared_data_is_copied_with_its_modes(embedded: EmbeddedUnderTest, tmp_path: Path) -> None:
    source = tmp_path / "prepared"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("data")
    (source / "deep/file").chmod(0o640)
    embedded.substrate.import_volume("primary", "data", source)
    volume = embedded.substrate.site("primary").volume("data")
    assert list(volume.walk()) == ["deep/file"]
    assert mode(embedded.substrate.run / "sites/primary/volumes/data/deep/file") == 0o640
    with pytest.raises(HarnessError, match=r"site primary: volume data: .*absent cannot be copied"):
        embedded.substrate.import_volume("primary", "data", tmp_path / "absent")


def test_a_site_with_write_protected_folders_is_removed(embedded: EmbeddedUnderTest) -> None:
    site = embedded.substrate.site("primary")
    site.volume("data").open("cache/module/file", "wb").close()
    for folder in ("cache/module", "cache"):
        (site.folder / "volumes/data" / folder).chmod(0o500)
    site.destroy()
    assert not site.folder.exists()


def test_a_node_does_not_run_as_root(embedded: EmbeddedUnderTest) -> None:
    with embedded.substrate.site("primary").run(Task("who", ("id", "-u"))) as running:
        assert running.stdout.read().strip() != b"0"


def test_a_run_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/run: cannot be made"):
        Embedded(tmp_path / "file/run", tmp_path / "logs")
