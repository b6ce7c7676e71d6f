"""Namespaces of embedded sites: what a program can read and write, on its own site and of the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.node import NodeSpec, Ready, Site, Task
from harness.substrate.embedded.isolation.namespaces import obstacle
from tests.substrate.substrates_under_test import EmbeddedUnderTest

pytestmark = [pytest.mark.programs, pytest.mark.skipif(bool(obstacle()), reason=f"no namespaces here: {obstacle()}")]

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from harness.core.node import NodeSpec, Task
from harness.substrate.embedded.isolation.namespaces import obstacle
from harness.substrate.embedded.substrate import Embedded

substrate = Embedded(Path(sys.argv[1], "run"), Path(sys.argv[1], "logs"))
primary, dr = substrate.site("primary"), substrate.site("dr")
node = primary.launch(NodeSpec("writer", ("sh", "-c", "id -u >@{volume:data}/who; echo x >/var/tmp/left; sleep 300"),
                               volumes=("data",)))
while not (primary.folder / "volumes/data/who").exists() or not (primary.folder / "volumes/data/who").read_text():
    pass
with dr.run(Task("read", ("sh", "-c", f"cat /var/tmp/left {primary.folder}/volumes/data/who"))) as task:
    read = task.stdout.read()
who = (primary.folder / "volumes/data/who").read_text().strip()
node.kill()
print(f"obstacle={obstacle()!r} user={who} read={read!r} alive={node.alive}")
substrate.sweep()
"""


def said(site: Site, script: str, *words: str) -> str:
    """Run a script on a site; return what it printed on both streams."""
    with site.run(Task("try", ("sh", "-c", f"exec 2>&1; {script}", "sh", *words))) as running:
        return running.stdout.read().decode()


@pytest.fixture
def primary(embedded: EmbeddedUnderTest) -> Site:
    return embedded.substrate.site("primary")


@pytest.fixture
def dr(embedded: EmbeddedUnderTest) -> Site:
    return embedded.substrate.site("dr")


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm"])  # noqa: S108
def test_what_a_program_writes_to_a_shared_folder_is_seen_on_its_site_alone(
    primary: Site, dr: Site, folder: str
) -> None:
    file = f"{folder}/blackstart-test-{os.getpid()}"
    assert said(primary, 'echo uploaded >"$1"', file) == ""
    assert said(primary, 'cat "$1"', file) == "uploaded\n"
    assert "No such file" in said(dr, 'cat "$1"', file)
    assert not Path(file).exists()


def test_a_file_of_the_machine_is_read_and_its_change_stays_on_the_site(
    primary: Site, dr: Site, tmp_path: Path
) -> None:
    file = tmp_path / "shared"
    file.write_text("of the machine\n")
    assert said(primary, 'cat "$1"; echo changed >"$1"; cat "$1"', str(file)) == "of the machine\nchanged\n"
    assert said(dr, 'cat "$1"; rm "$1"', str(file)) == "of the machine\n"
    assert file.read_text() == "of the machine\n"


MOUNTED = r"""
import faulthandler
import sys
from pathlib import Path
from harness.core.node import Task
from harness.substrate.embedded.substrate import Embedded

faulthandler.dump_traceback_later(45)  # says where it hangs, where it does
substrate = Embedded(Path(sys.argv[1], "run"), Path(sys.argv[1], "logs"))
with substrate.site("primary").run(Task("try", ("sh", "-c", "exec 2>&1; " + sys.argv[2], sys.argv[1]))) as task:
    print(task.stdout.read().decode(), end="")
with substrate.site("dr").run(Task("look", ("sh", "-c", "cat /tmp/new-here \"$0/file\"", sys.argv[1]))) as task:
    print("dr:", task.stdout.read().decode(), end="")
substrate.sweep()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts are made by root alone")
def test_a_site_is_isolated_where_others_have_mounted_something_in_a_private_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A build of an image, an AppImage, a snap: file systems come and go in /tmp. In a mount namespace of the test."""
    folder = tmp_path_factory.mktemp("mounted, \\:colon")
    for above in (folder, folder.parent):
        above.chmod(0o777)
    (folder / "file").write_text("before\n")
    (folder / "link").symlink_to("file")
    (folder / "tmpfs").mkdir()
    (folder / "proc").mkdir()
    (folder / "one").touch()
    mounts = 'mount -t tmpfs none "$1/tmpfs"; echo there >"$1/tmpfs/file"; mount -t proc none "$1/proc"; '
    mounts += 'mount --bind /etc/hostname "$1/one"; shift; exec "$@"'
    tries = 'cat "$0/file" "$0/link" "$0/tmpfs/file"; cmp "$0/one" /etc/hostname; test -d "$0/proc/1" || echo no proc; '
    tries += 'echo x >/tmp/new-here; mkdir "$0/new"; echo y >"$0/new/file"; cat /tmp/new-here "$0/new/file"'
    command = ("unshare", "--mount", "sh", "-c", mounts, "sh", str(folder))
    program = (sys.executable, "-c", MOUNTED, str(folder), tries)
    done = subprocess.run([*command, *program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "before\nbefore\nthere\nx\ny\ndr: before\n"
    assert not (folder / "new").exists()
    assert not Path("/tmp/new-here").exists()  # noqa: S108


COUNTED = r"""
import sys
from pathlib import Path
from harness.substrate.embedded.isolation import mount_namespace as program

asked, mounted_below = [], program.mounted_below
program.mounted_below = lambda folder: asked.append(folder) or mounted_below(folder)
program.cover(sys.argv[1], sys.argv[2])
print(len(asked), sum(Path(one, "here").is_file() for one in Path(sys.argv[1]).iterdir()))
Path(sys.argv[1], "plain-7", "new").touch()  # refused where it is read-only
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts are made by root alone")
def test_the_mounts_of_a_machine_are_not_read_for_each_folder_beside_one_that_has_some(tmp_path: Path) -> None:
    """Of 4,000 folders in /tmp each made the table longer that the next one read: no site started within a minute."""
    folder = tmp_path / "folder"
    for name in (*(f"plain-{number}" for number in range(20)), "deep/er/tmpfs", "deep/beside"):
        (folder / name).mkdir(parents=True)
        (folder / name.partition("/")[0] / "here").touch()
    mounts = 'mount -t tmpfs none "$1/deep/er/tmpfs"; mount -t tmpfs none "$2"; exec "$3" -c "$4" "$1" "$2"'
    words = (str(folder), "/dev/shm", sys.executable, COUNTED)  # noqa: S108 - in a mount namespace
    command = ("unshare", "--mount", "sh", "-c", mounts, "sh", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "3 21\n")  # folder, deep, deep/er
    assert not (folder / "plain-7" / "new").exists()


def test_the_rest_of_the_machine_is_read_only(primary: Site) -> None:
    for folder in ("/", "/var", "/var/lib", "/usr", "/etc"):
        answer = said(primary, 'touch "$1/blackstart-test"', folder)
        assert "Read-only file system" in answer or "Permission denied" in answer, folder
    assert said(primary, 'cat "$1" >/dev/null && echo read', __file__) == "read\n"
    assert said(primary, "echo x >/dev/null && echo written") == "written\n"


@pytest.mark.parametrize("way", ["by its path", "by a relative path", "through the harness", "through a process of it"])
def test_the_folder_of_another_site_is_hidden(primary: Site, dr: Site, embedded: EmbeddedUnderTest, way: str) -> None:
    with primary.volume("uploads").open("file", "wb") as file:
        file.write(b"uploaded")
    node = primary.launch(NodeSpec("other", ("sleep", "300")))
    folder = embedded.substrate.run / "sites/primary/volumes/uploads"
    pid = node.child.pid  # type: ignore[attr-defined]
    path = {
        "by its path": f"{folder}/file",
        "by a relative path": "../../../primary/volumes/uploads/file",
        "through the harness": f"/proc/{os.getpid()}/root{folder}/file",
        "through a process of it": f"/proc/{pid}/root{folder}/file",
    }[way]
    answer = said(dr, 'cat "$1"', path)
    assert "No such file" in answer or "Permission denied" in answer
    node.kill()


def test_logs_of_other_sites_are_hidden(primary: Site, dr: Site, embedded: EmbeddedUnderTest) -> None:
    said(primary, "echo secret >&2")
    node = primary.launch(NodeSpec("talker", ("sh", "-c", "echo customer 4711; exec sleep 300")))
    assert said(dr, 'ls -A "$1"', str(embedded.substrate.logs)) == ""
    node.kill()


def test_a_program_cannot_take_its_walls_down(primary: Site, dr: Site, embedded: EmbeddedUnderTest) -> None:
    with primary.volume("uploads").open("file", "wb") as file:
        file.write(b"uploaded")
    run = embedded.substrate.run
    tries = f"umount {run}; unshare --user --map-root-user --mount sh -c 'umount {run}; umount /tmp; ls {run}/sites'"
    assert "primary" not in said(dr, tries)


def test_nodes_and_tasks_of_a_site_share_what_they_write(primary: Site) -> None:
    file = f"/tmp/blackstart-test-{os.getpid()}"  # noqa: S108
    ready = Ready(argv=("test", "-e", file), patience=10)
    node = primary.launch(NodeSpec("writer", ("sh", "-c", f"echo up >{file}; exec sleep 300"), ready=ready))
    assert said(primary, f"cat {file}") == "up\n"
    node.kill()
    assert said(primary, f"cat {file}") == "up\n"


def test_what_was_written_outside_is_lost_with_the_site(primary: Site) -> None:
    file = f"/tmp/blackstart-test-{os.getpid()}"  # noqa: S108
    said(primary, f"echo x >{file}")
    primary.destroy()
    assert "No such file" in said(primary, f"cat {file}")


def test_the_working_folder_and_the_user_are_those_without_namespaces(embedded: EmbeddedUnderTest) -> None:
    show = 'id -u; id -g; pwd -P; pwd; echo "$HOME"; umask; ulimit -n'
    walled, plain = said(embedded.substrate.site("primary"), show), said(embedded.substrate.desk("dr"), show)
    assert walled.replace("/primary/", "/dr/") == plain


def test_another_harness_of_the_run_joins_the_site(embedded: EmbeddedUnderTest, primary: Site) -> None:
    """`blackstart backup` runs its tasks on the site that `blackstart up` made."""
    file = f"/tmp/blackstart-test-{os.getpid()}"  # noqa: S108
    node = primary.launch(NodeSpec("writer", ("sh", "-c", f"echo up >{file}; exec sleep 300"),
                                   ready=Ready(argv=("test", "-e", file), patience=10)))  # fmt: skip
    script = (
        "import sys; from pathlib import Path; from harness.core.node import Task\n"
        "from harness.substrate.embedded.substrate import Embedded\n"
        "site = Embedded(Path(sys.argv[1]), Path(sys.argv[2])).site('primary')\n"
        "with site.run(Task('look', ('cat', sys.argv[3]))) as task: print(task.stdout.read())"
    )
    words = (str(embedded.substrate.run), str(embedded.substrate.logs), file)
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "b'up\\n'", done.stderr
    node.kill()


def test_a_desk_writes_where_the_machine_does(embedded: EmbeddedUnderTest, tmp_path: Path) -> None:
    """Tasks of an existing site use its volumes, which are mounted anywhere."""
    said(embedded.substrate.desk("dr"), 'echo x >"$1/file"', str(tmp_path))
    assert (tmp_path / "file").read_text() == "x\n"


def test_descriptors_are_closed_with_the_site(embedded: EmbeddedUnderTest) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = count()
    for _ in range(3):
        said(embedded.substrate.site("primary"), "true")
        embedded.substrate.site("primary").destroy()

    def closed() -> None:
        if count() > before:  # removed in the background; what other tests left may be closed meanwhile
            raise NotYet(f"{count()} descriptors are open, {before} were before")

    wait_until(closed, patience=10)


@pytest.fixture
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that another user may write to."""
    folder = tmp_path_factory.mktemp("open")
    for above in (folder, folder.parent):
        above.chmod(0o755)
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize("allowed", [True, False])
def test_an_ordinary_user_is_isolated_where_the_kernel_allows_it(open_folder: Path, allowed: bool) -> None:
    """In a user namespace of its own, in which more of them can be forbidden without changing the machine."""
    limit = "" if allowed else "echo 0 >/proc/sys/user/max_user_namespaces; "
    as_user = ("unshare", "--user", "--map-user=1234", "--map-group=1234", "--keep-caps", "sh", "-c")
    drop = f'{limit}exec setpriv --ambient-caps=-all --inh-caps=-all --no-new-privs "$@"'
    done = subprocess.run(
        [*as_user, drop, "sh", sys.executable, "-c", UNPRIVILEGED, str(open_folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if allowed:
        assert done.stdout.strip() == "obstacle='' user=1234 read=b'' alive=False"
    else:
        assert "obstacle='unshare: No space left on device'" in done.stdout
        assert "read=b'x\\n1234\\n'" in done.stdout
        Path("/var/tmp/left").unlink()  # noqa: S108
