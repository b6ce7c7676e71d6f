"""Conformance suite of sites, nodes and tasks: the same tests on every substrate."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.core.node import Freezable, Isolatable, NodeSpec, Ready, Stoppable, Task
from tests.substrate.conftest import TOKEN
from tests.substrate.substrates_under_test import SubstrateUnderTest, peer, server, task

AT_ONCE = 30.0  # seconds, on a busy machine; an engine gives up after 300


def test_a_node_answers_once_it_is_launched_and_a_second_start_changes_nothing(
    tested: SubstrateUnderTest, spec: NodeSpec
) -> None:
    node = tested.substrate.site("primary").launch(spec)
    first = tested.ask(node)
    node.start()
    assert node.alive
    assert tested.ask(node) == first
    assert tested.living() == 1


def test_a_node_is_given_its_secrets_in_environment_and_files(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    node = tested.substrate.site("primary").launch(spec)
    expected = [sha256(text.encode()).hexdigest() for text in (TOKEN, f"token={TOKEN}")]
    assert tested.ask(node).decode().split()[:2] == expected


def test_a_killed_node_is_dead_and_comes_back_at_its_old_address(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    node = tested.substrate.site("primary").launch(spec)
    first, at = tested.ask(node), node.endpoint("talk")
    node.kill()
    assert not node.alive
    assert tested.living() == 0
    with pytest.raises(ConnectionRefusedError):
        tested.ask(node)
    node.kill()
    node.start()
    assert node.endpoint("talk") == at
    assert tested.ask(node) != first


def test_a_frozen_node_is_alive_and_silent_until_it_is_thawed(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    node = tested.substrate.site("primary").launch(spec)
    assert isinstance(node, Freezable)
    node.freeze()
    assert node.alive
    with pytest.raises(TimeoutError):
        tested.ask(node)
    node.thaw()
    assert tested.ask(node)


def test_a_frozen_site_is_alive_and_silent_until_it_is_thawed(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    nodes = [site.launch(spec), site.launch(replace(spec, name="second"))]
    other = tested.substrate.site("dr").launch(spec)
    assert isinstance(site, Freezable)
    assert isinstance(nodes[0], Freezable)
    nodes[0].freeze()  # a node that is frozen already is no obstacle
    site.freeze()
    assert [node.alive for node in nodes] == [True, True]
    for node in nodes:
        with pytest.raises(TimeoutError):
            tested.ask(node)
    assert tested.ask(other)
    for _ in range(2):
        site.thaw()
    assert all(tested.ask(node) for node in nodes)


def test_an_isolated_site_works_on_and_no_client_reaches_it(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site, other = tested.substrate.site("primary"), tested.substrate.site("dr").launch(spec)
    if not isinstance(site, Isolatable):
        pytest.skip("clients and peers use the same address of loopback")
    node = site.launch(spec)
    for _ in range(2):
        site.isolate()
    later = site.launch(replace(spec, name="later"))
    for one in (node, later):
        assert one.alive
        with pytest.raises(OSError):  # noqa: PT011 - refused, reset or silent, by the substrate
            tested.ask(one)
        with site.run(peer(tested, one)) as running:
            assert running.finish(20).code == 0
        with site.volume("data").open("seen", "rb") as seen:
            assert len(seen.read().split()) == 3
    assert tested.ask(other)
    for _ in range(2):
        site.rejoin()
    assert tested.ask(node)
    assert tested.ask(later)


def test_a_frozen_node_can_be_killed(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    node = tested.substrate.site("primary").launch(spec)
    assert isinstance(node, Freezable)
    node.freeze()
    node.kill()
    assert (node.alive, tested.living()) == (False, 0)
    node.start()
    assert tested.ask(node)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_node_is_stopped_gracefully(tested: SubstrateUnderTest, spec: NodeSpec, *, frozen: bool) -> None:
    node = tested.substrate.site("primary").launch(spec)
    if not isinstance(node, Stoppable):
        pytest.skip("nodes of this substrate are only ever killed")
    assert isinstance(node, Freezable)
    if frozen:
        node.freeze()
    node.stop(3)
    assert (node.alive, tested.living()) == (False, 0)
    node.start()
    assert tested.ask(node)


def test_data_outlives_a_kill(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    node = site.launch(spec)
    with site.volume("data").open("kept/note", "wb") as file:
        file.write(b"still here")
    node.kill()
    node.start()
    with site.volume("data").open("kept/note", "rb") as file:
        assert file.read() == b"still here"


def test_a_destroyed_site_keeps_only_its_logs_and_can_be_used_again(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site, other = tested.substrate.site("primary"), tested.substrate.site("dr")
    node, survivor = site.launch(spec), other.launch(spec)
    site.volume("data").open("note", "wb").close()
    with site.run(task(tested, "lasting")) as running:
        assert running.stdout.readline() == b"up\n"
        site.destroy()
        assert tested.living() == 1
    site.destroy()
    assert not node.alive
    assert tested.ask(survivor)
    assert "serving" in tested.log("primary/server")
    with pytest.raises(HarnessError, match="server on primary: lost with its site"):
        node.start()
    assert tested.ask(site.launch(spec))
    assert list(site.volume("data").walk()) == []


def test_a_sweep_leaves_nothing_and_may_be_repeated(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    node = site.launch(spec)
    site.run(task(tested, "lasting")).stdout.close()
    tested.substrate.sweep()
    tested.substrate.sweep()
    assert (node.alive, tested.living()) == (False, 0)
    assert "serving" in tested.log("primary/server")
    assert list(tested.substrate.site("primary").volume("data").walk()) == []


def test_no_port_is_given_twice(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    ports = []
    for _ in range(4):
        node = site.launch(spec)
        ports.append(node.endpoint("talk").outside.port)
        node.kill()
    assert len(set(ports)) == len(ports)


def test_an_unknown_port_of_a_node_is_named(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    node = tested.substrate.site("primary").launch(spec)
    with pytest.raises(HarnessError, match="server has no port 'http'; it has talk"):
        node.endpoint("http")


def test_a_running_node_is_not_launched_again(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    node = site.launch(spec)
    first = tested.ask(node)
    with pytest.raises(HarnessError, match="server on primary: already running"):
        site.launch(spec)
    assert tested.ask(node) == first


def test_a_node_that_exits_at_its_start_is_reported_with_its_last_line(tested: SubstrateUnderTest) -> None:
    argv = tested.argv("dying")
    spec = NodeSpec("dying", argv, tested.image, ports=("talk",), ready=Ready(port="talk"))
    with pytest.raises(HarnessError, match=r"dying on primary ended with code 3 before it was ready: .*last words$"):
        tested.substrate.site("primary").launch(spec)
    assert tested.living() == 0


def test_a_missing_program_is_named(tested: SubstrateUnderTest) -> None:
    site = tested.substrate.site("primary")
    with pytest.raises(HarnessError, match="ghost on primary: no-such-program is not a program here"):
        site.launch(NodeSpec("ghost", ("no-such-program",), tested.image))
    with pytest.raises(HarnessError, match="no-such-program is not a program here"):
        site.run(Task("ghost", ("no-such-program",), tested.image))


def test_a_secret_may_not_be_an_argument(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    words = (*spec.argv, "--token=@{secret:token}")
    with pytest.raises(HarnessError, match="a secret is not allowed here") as refused:
        site.launch(replace(spec, argv=words))
    assert TOKEN not in str(refused.value)
    with pytest.raises(HarnessError, match="a secret is not allowed here"):
        site.run(replace(task(tested, "say", "@{secret:token}"), secrets=spec.secrets))
    assert tested.living() == 0


def test_a_secret_is_in_no_repr_and_no_log(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    site = tested.substrate.site("primary")
    node = site.launch(spec)
    say = replace(task(tested, "say", "0", stdin=TOKEN.encode()), env=spec.env, secrets=spec.secrets)
    with site.run(say) as running:
        running.stdout.read()
        done = running.finish(10)
        shown = (repr(node), repr(site), repr(tested.substrate), repr(running), repr(say), repr(done))
    assert not [text for text in shown if TOKEN in text]
    assert TOKEN not in tested.log("primary/server")


def test_a_missing_secret_is_named_and_nothing_is_started(tested: SubstrateUnderTest, spec: NodeSpec) -> None:
    with pytest.raises(UsageError, match="secret file:nowhere"):
        tested.substrate.site("primary").launch(replace(spec, secrets={"token": "file:nowhere"}))
    assert tested.living() == 0


@pytest.mark.parametrize("code", [0, 7])
def test_a_tasks_output_exit_code_and_errors_are_seen(tested: SubstrateUnderTest, code: int) -> None:
    words = b"said\0" * 100_000  # more than a pipe holds
    with tested.substrate.site("primary").run(task(tested, "say", str(code), stdin=words)) as running:
        assert running.stdout.read() == words
        done = running.finish(10)
    assert (done.code, done.errors) == (code, "warned")
    assert "warned" in tested.log("primary/say-1")


def test_a_task_that_is_left_early_is_killed_with_all_it_started(tested: SubstrateUnderTest) -> None:
    with tested.substrate.site("primary").run(task(tested, "lasting")) as running:
        assert running.stdout.readline() == b"up\n"
        assert tested.living() > 0
        with pytest.raises(TookTooLong, match=r"task lasting: not done within 0.05 s"):
            running.finish(0.05)
    assert tested.living() == 0


def test_a_task_whose_output_is_not_read_is_killed_at_once(tested: SubstrateUnderTest) -> None:
    with tested.substrate.site("primary").run(task(tested, "pouring")) as running:
        assert running.stdout.readline() == b"up\n"
        SYSTEM.sleep(1)  # all that holds its output on the way is full now
        began = SYSTEM.monotonic()
    assert SYSTEM.monotonic() - began < AT_ONCE
    assert tested.living() == 0


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden"])
def test_no_name_leaves_its_folder(tested: SubstrateUnderTest, spec: NodeSpec, name: str) -> None:
    site = tested.substrate.site("primary")
    for use in (
        lambda: tested.substrate.site(name),
        lambda: site.volume(name),
        lambda: site.launch(replace(spec, name=name)),
        lambda: site.run(replace(task(tested, "say", "0"), name=name)),
    ):
        with pytest.raises(UsageError, match="not a name for a"):
            use()


def test_an_unknown_file_of_a_node_is_named(tested: SubstrateUnderTest, token: Path) -> None:
    spec = server(tested, token)
    with pytest.raises(HarnessError, match=r"@\{file:conf\}: this node has no file of that name"):
        tested.substrate.site("primary").launch(replace(spec, files={}))
