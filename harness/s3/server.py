"""An object store as a node, reached by S3: SeaweedFS in one process (`weed mini`), or MinIO in a container.

Measured with SeaweedFS 4.48 on two busy cores: 0.9 s from start to the first answer, 110 MiB resident,
0.3 MB on disk when empty, 2 to 5 s to stop in good order. `weed server` takes 3.3 s to start and 25 s to stop.
"""

import json
import sys
from collections.abc import Mapping

from harness.core.errors import UsageError
from harness.core.node import Node, NodeSpec, Ready, Site, runs_images
from harness.core.service import S3
from harness.parts.programs import program
from harness.patience import PATIENCE

IMAGE = "minio"
PORT = "s3"
ACCESS = "s3-access"
SECRET = "s3-secret"  # noqa: S105 - the name of the secret, not the secret
VOLUME_MB = 256  # size of one of SeaweedFS's own files, grown as it fills and never allocated ahead

WHERE = (f"@{{bind:{PORT}}}:@{{port:{PORT}}}", "@{bind:master}:@{port:master}.@{port:master-grpc}")

# Every part of it that listens, by the option that says where. An option left out would listen on a fixed port.
LISTENERS: Mapping[str, str] = {
    PORT: "s3.port",
    "s3-grpc": "s3.port.grpc",
    "filer": "filer.port",
    "filer-grpc": "filer.port.grpc",
    "volume": "volume.port",
    "volume-grpc": "volume.port.grpc",
    "master": "master.port",
    "master-grpc": "master.port.grpc",
    "admin": "admin.port",
    "admin-grpc": "admin.port.grpc",
}

# Its S3 part says that it is well before the master has heard of the volumes: then every read fails, for seconds after
# a start in which master and volumes missed each other. The master can be asked by its shell alone, its HTTP being off.
WELL = """
import http.client, subprocess, sys
weed, s3, master = sys.argv[1:]
asked = http.client.HTTPConnection(s3, timeout=5)
asked.request("GET", "/healthz")
if (status := asked.getresponse().status) != 200:
    sys.exit(f"/healthz answers {status}")
shell = [weed, "shell", f"-master={master}"]
told = subprocess.run(shell, input=b"volume.list\\n", capture_output=True, timeout=8).stdout
sys.exit(None if b"(volume:" in told else "the master knows of no volumes")
"""

# Unix sockets that it puts in /tmp, whatever TMPDIR says, and leaves there when it is killed.
LEAVES = tuple(
    f"/tmp/seaweedfs-{part}-grpc-@{{port:{part}-grpc}}.sock"  # noqa: S108 - the name is SeaweedFS's own
    for part in ("s3", "filer", "volume", "master", "admin")
)

# What is switched off: nothing of it is needed, each would listen, and one would call home.
OFF = (
    "-disableHttp=true",  # its file server gives every object to whoever asks, with no key
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.iam=false",
    "-master.telemetry=false",
    "-master.volumePreallocate=false",
)


def server_spec(
    site: Site,
    name: str = "objects",
    volume: str = "objects",
    *,
    secrets: Mapping[str, str],
    limit_mb: int | None = None,
) -> NodeSpec:
    """Return the node for `site`: data in `volume`, one owner whose keys are the secrets `s3-access` and `s3-secret`.

    `limit_mb`: of SeaweedFS alone: room for so many MiB and no more, what `volume` already holds included; a write
    beyond it is refused with InternalError (500), as on a disk that is full, and reads go on. Raises UsageError when a
    secret is missing, MissingPart when SeaweedFS is needed on this machine and not installed.
    """
    if missing := [key for key in (ACCESS, SECRET) if key not in secrets]:
        raise UsageError(f"node {name}: no secret {missing[0]}; add its reference to the secrets of the site")
    if runs_images(site):
        return _minio(name, volume, secrets)
    size, count = (VOLUME_MB, 0) if limit_mb is None else (1, limit_mb)
    args = (
        "-logtostderr=true",
        "mini",
        f"-dir=@{{volume:{volume}}}",
        f"-ip=@{{bind:{PORT}}}",
        f"-ip.bind=@{{bind:{PORT}}}",
        *(f"-{option}=@{{port:{port}}}" for port, option in LISTENERS.items()),
        "-s3.config=@{file:owner}",
        # Relative to where it runs, since the length of a socket's path is limited to some hundred bytes.
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        f"-master.volumeSizeLimitMB={size}",
        f"-volume.max={count}",
        "-idleTimeout=5",  # seconds; it does not stop before its last idle connection has timed out
        *OFF,
    )
    return NodeSpec(
        name=name,
        argv=(program("weed"), *args),
        ports=tuple(LISTENERS),
        volumes=(volume,),
        secrets={key: secrets[key] for key in (ACCESS, SECRET)},
        files={"owner": _owner()},
        ready=Ready(
            argv=(sys.executable, "-I", "-S", "-c", WELL, program("weed"), *WHERE), patience=PATIENCE.store_ready
        ),
        leaves=LEAVES,
    )


def _minio(name: str, volume: str, secrets: Mapping[str, str]) -> NodeSpec:
    """Return the node of a site that runs images: MinIO, with the same owner."""
    owner = f"MINIO_ROOT_USER=@{{secret:{ACCESS}}}\nMINIO_ROOT_PASSWORD=@{{secret:{SECRET}}}\n"
    return NodeSpec(
        name=name,
        argv=("server", f"@{{volume:{volume}}}", "--address", f"@{{bind:{PORT}}}:@{{port:{PORT}}}"),
        image=IMAGE,
        ports=(PORT,),
        volumes=(volume,),
        env={"MINIO_CONFIG_ENV_FILE": "@{file:owner}", "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"},
        secrets={key: secrets[key] for key in (ACCESS, SECRET)},
        files={"owner": owner},
        # Not /minio/health/ready: that answers 200 while buckets and credentials are still being read, and S3 says 503.
        ready=Ready(port=PORT, path="/minio/health/cluster", patience=PATIENCE.store_ready),
    )


def _owner() -> str:
    """Return SeaweedFS's own file of identities, with one that may do everything; its keys are filled in later."""
    keys = {"accessKey": f"@{{secret:{ACCESS}}}", "secretKey": f"@{{secret:{SECRET}}}"}
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return json.dumps({"identities": [{"name": "owner", "credentials": [keys], "actions": actions}]})


def s3_of(node: Node, access_ref: str, secret_ref: str) -> S3:
    """Return how to reach the store that `node` runs; the references are its owner's keys."""
    endpoint = node.endpoint(PORT)
    return S3(endpoint.inside, endpoint.outside, access_ref, secret_ref)
