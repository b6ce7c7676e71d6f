"""What every substrate does, on each of them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import Freezable, NodeSpec, Ready, Stoppable, Task
from tests.substrate.benches import Bench, server, task
from tests.substrate.conftest import TOKEN

AT_ONCE = 30.0  # seconds, on a busy machine; an engine that cannot end it gives up after 300


def test_a_node_answers_once_it_is_launched_and_a_second_start_changes_nothing(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    first = bench.ask(node)
    node.start()
    assert node.alive
    assert bench.ask(node) == first
    assert bench.living() == 1


def test_a_node_is_given_its_secrets_in_environment_and_files(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    expected = [sha256(text.encode()).hexdigest() for text in (TOKEN, f"token={TOKEN}")]
    assert bench.ask(node).decode().split()[:2] == expected


def test_a_killed_node_is_dead_and_comes_back_at_its_old_address(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    first, at = bench.ask(node), node.endpoint("talk")
    node.kill()
    assert not node.alive
    assert bench.living() == 0
    with pytest.raises(ConnectionRefusedError):
        bench.ask(node)
    node.kill()
    node.start()
    assert node.endpoint("talk") == at
    assert bench.ask(node) != first


def test_a_frozen_node_is_alive_and_silent_until_it_is_thawed(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    assert isinstance(node, Freezable)
    node.freeze()
    assert node.alive
    with pytest.raises(TimeoutError):
        bench.ask(node)
    node.thaw()
    assert bench.ask(node)


def test_a_frozen_node_can_be_killed(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    assert isinstance(node, Freezable)
    node.freeze()
    node.kill()
    assert (node.alive, bench.living()) == (False, 0)
    node.start()
    assert bench.ask(node)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_node_that_is_asked_to_end_does(bench: Bench, spec: NodeSpec, *, frozen: bool) -> None:
    node = bench.substrate.site("primary").launch(spec)
    assert isinstance(node, Stoppable)
    assert isinstance(node, Freezable)
    if frozen:
        node.freeze()
    node.stop(3)
    assert (node.alive, bench.living()) == (False, 0)
    node.start()
    assert bench.ask(node)


def test_data_outlives_a_kill(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    node = site.launch(spec)
    with site.volume("data").open("kept/note", "wb") as file:
        file.write(b"still here")
    node.kill()
    node.start()
    with site.volume("data").open("kept/note", "rb") as file:
        assert file.read() == b"still here"


def test_a_destroyed_site_takes_all_with_it_but_its_logs_and_can_be_used_afresh(bench: Bench, spec: NodeSpec) -> None:
    site, other = bench.substrate.site("primary"), bench.substrate.site("dr")
    node, survivor = site.launch(spec), other.launch(spec)
    site.volume("data").open("note", "wb").close()
    with site.run(task(bench, "lasting")) as running:
        assert running.stdout.readline() == b"up\n"
        site.destroy()
        assert bench.living() == 1
    site.destroy()
    assert not node.alive
    assert bench.ask(survivor)
    assert "serving" in bench.log("primary/server")
    with pytest.raises(HarnessError, match="server on primary: lost with its site"):
        node.start()
    assert bench.ask(site.launch(spec))
    assert list(site.volume("data").walk()) == []


def test_a_sweep_leaves_nothing_and_may_be_repeated(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    node = site.launch(spec)
    site.run(task(bench, "lasting")).stdout.close()
    bench.substrate.sweep()
    bench.substrate.sweep()
    assert (node.alive, bench.living()) == (False, 0)
    assert "serving" in bench.log("primary/server")
    assert list(bench.substrate.site("primary").volume("data").walk()) == []


def test_no_port_is_given_twice(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    ports = []
    for _ in range(4):
        node = site.launch(spec)
        ports.append(node.endpoint("talk").outside.port)
        node.kill()
    assert len(set(ports)) == len(ports)


def test_a_port_that_a_node_has_not_is_named(bench: Bench, spec: NodeSpec) -> None:
    node = bench.substrate.site("primary").launch(spec)
    with pytest.raises(HarnessError, match="server has no port 'http'; it has talk"):
        node.endpoint("http")


def test_a_node_is_not_launched_over_one_that_runs(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    node = site.launch(spec)
    first = bench.ask(node)
    with pytest.raises(HarnessError, match="server on primary: already running"):
        site.launch(spec)
    assert bench.ask(node) == first


def test_a_node_that_dies_at_start_is_named_with_its_last_line(bench: Bench) -> None:
    argv = bench.argv("dying")
    spec = NodeSpec("dying", argv, bench.image, ports=("talk",), ready=Ready(port="talk"))
    with pytest.raises(HarnessError, match=r"dying on primary ended with code 3 before it was ready: .*last words$"):
        bench.substrate.site("primary").launch(spec)
    assert bench.living() == 0


def test_a_program_that_is_not_there_is_named(bench: Bench) -> None:
    site = bench.substrate.site("primary")
    with pytest.raises(HarnessError, match="ghost on primary: no-such-program is not a program here"):
        site.launch(NodeSpec("ghost", ("no-such-program",), bench.image))
    with pytest.raises(HarnessError, match="no-such-program is not a program here"):
        site.run(Task("ghost", ("no-such-program",), bench.image))


def test_a_secret_may_not_be_an_argument(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    words = (*spec.argv, "--token=@{secret:token}")
    with pytest.raises(HarnessError, match="a secret may not stand here") as refused:
        site.launch(replace(spec, argv=words))
    assert TOKEN not in str(refused.value)
    with pytest.raises(HarnessError, match="a secret may not stand here"):
        site.run(replace(task(bench, "say", "@{secret:token}"), secrets=spec.secrets))
    assert bench.living() == 0


def test_a_secret_is_in_no_repr_and_no_log(bench: Bench, spec: NodeSpec) -> None:
    site = bench.substrate.site("primary")
    node = site.launch(spec)
    say = replace(task(bench, "say", "0", stdin=TOKEN.encode()), env=spec.env, secrets=spec.secrets)
    with site.run(say) as running:
        running.stdout.read()
        done = running.finish(10)
        shown = (repr(node), repr(site), repr(bench.substrate), repr(running), repr(say), repr(done))
    assert not [text for text in shown if TOKEN in text]
    assert TOKEN not in bench.log("primary/server")


def test_a_secret_that_is_not_there_is_named_and_nothing_is_started(bench: Bench, spec: NodeSpec) -> None:
    with pytest.raises(UsageError, match="secret file:nowhere"):
        bench.substrate.site("primary").launch(replace(spec, secrets={"token": "file:nowhere"}))
    assert bench.living() == 0


@pytest.mark.parametrize("code", [0, 7])
def test_a_tasks_output_exit_code_and_errors_are_seen(bench: Bench, code: int) -> None:
    words = b"said\0" * 100_000  # more than a pipe holds
    with bench.substrate.site("primary").run(task(bench, "say", str(code), stdin=words)) as running:
        assert running.stdout.read() == words
        done = running.finish(10)
    assert (done.code, done.errors) == (code, "warned")
    assert "warned" in bench.log("primary/say-1")


def test_a_task_that_is_left_early_is_killed_with_all_it_started(bench: Bench) -> None:
    with bench.substrate.site("primary").run(task(bench, "lasting")) as running:
        assert running.stdout.readline() == b"up\n"
        assert bench.living() > 0
        with pytest.raises(TookTooLong, match=r"task lasting: not done within 0.05 s"):
            running.finish(0.05)
    assert bench.living() == 0


def test_a_task_is_left_at_once_though_nobody_reads_what_it_still_writes(bench: Bench) -> None:
    with bench.substrate.site("primary").run(task(bench, "pouring")) as running:
        assert running.stdout.readline() == b"up\n"
        SYSTEM.sleep(1)  # all that holds its output on the way is full now
        began = SYSTEM.monotonic()
    assert SYSTEM.monotonic() - began < AT_ONCE
    assert bench.living() == 0


def test_a_frozen_task_does_not_end_until_it_is_thawed(bench: Bench) -> None:
    with bench.substrate.site("primary").run(task(bench, "brief")) as running:
        assert isinstance(running, Freezable)
        running.freeze()
        with pytest.raises(TookTooLong):
            running.finish(0.5)
        running.thaw()
        assert running.finish(10).code == 0


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden"])
def test_no_name_leaves_its_folder(bench: Bench, spec: NodeSpec, name: str) -> None:
    site = bench.substrate.site("primary")
    for use in (
        lambda: bench.substrate.site(name),
        lambda: site.volume(name),
        lambda: site.launch(replace(spec, name=name)),
        lambda: site.run(replace(task(bench, "say", "0"), name=name)),
    ):
        with pytest.raises(UsageError, match="not a name for a"):
            use()


def test_a_file_that_a_node_has_not_is_named(bench: Bench, token: Path) -> None:
    spec = server(bench, token)
    with pytest.raises(HarnessError, match=r"@\{file:conf\}: this node has no file of that name"):
        bench.substrate.site("primary").launch(replace(spec, files={}))
