"""A volume of the container engine, and the agent container that serves it."""

from harness.core.clock import wait_until
from harness.core.node import Address
from harness.images.engine import engine, explained
from harness.images.find import reference
from harness.images.table import port_numbers
from harness.patience import PATIENCE
from harness.substrate.common.ports import LOOPBACK, take_port
from harness.substrate.common.probe import UNANSWERED
from harness.substrate.containers.volume_client import AgentVolume, BoundedVolume
from harness.substrate.containers.workspace import TMP, VOLUMES
from harness.substrate.docker.ownership import Owned, discarding, naming


def open_volume(owned: Owned, site: str, name: str, user: str, token: str, limit: int) -> AgentVolume:
    """Create a volume of a site, owned by `user`, `uid:gid`, and its agent; return it.

    `limit`: its size in MiB, 0 for no limit. A limited volume is a tmpfs, because volumes on the engine's disk have no
    limit; its agent keeps it mounted while its node is down. Raises HarnessError.
    """
    what = f"volume {name} of {site}"
    port, full, labels = take_port(), owned.name(site, name), owned.labels(site)
    uid, gid = user.split(":")
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={limit}m,uid={uid},gid={gid}"} if limit else {}
    number = port_numbers("blackstart", ("agent",))["agent"]
    environment = {
        "AGENT_ROOT": f"{VOLUMES}/{name}",
        "AGENT_PORT": str(number),
        "AGENT_TOKEN": token,
        "AGENT_OWNER": user,
    }
    with explained(what):
        engine().volumes.create(full, driver="local", driver_opts=options, labels=labels)
    port.hand_over(what)
    with naming(f"agent of {what}", "python3"):
        container = engine().containers.create(
            reference("blackstart"),
            ["-m", "harness.substrate.containers.volume_agent"],
            entrypoint=["python3"],
            name=owned.name(site, f"agent-{name}"),
            environment=environment,
            labels=labels,
            user="0:0",
            volumes={full: {"bind": f"{VOLUMES}/{name}", "mode": "rw,nocopy"}},
            network=owned.outside.name,
            ports={f"{number}/tcp": (LOOPBACK, port.number)},
            read_only=True,
            tmpfs={TMP: "mode=1777"},
            init=True,
            cap_drop=["ALL"],
            cap_add=["CHOWN", "SETUID", "SETGID"],
            security_opt=["no-new-privileges"],
        )
    volume = (BoundedVolume if limit else AgentVolume)(name, Address(LOOPBACK, port.number), token)
    with discarding(container):
        with naming(f"agent of {what}", "python3"):
            container.start()
        wait_until(lambda: volume.size, patience=PATIENCE.volume_agent_start, on=UNANSWERED, what=f"agent of {what}")
    return volume
