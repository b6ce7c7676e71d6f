"""Object store as a node: SeaweedFS in one process (`weed mini`), or MinIO in a container.

Measured with SeaweedFS 4.48 on two busy cores: 0.9 s from start to the first answer, 110 MiB resident,
0.3 MB on disk when empty, 2 to 5 s to shut down gracefully. `weed server` takes 3.3 s to start and 25 s to stop.
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
VOLUME_MB = 256  # maximum size of a SeaweedFS volume file, which is not preallocated

WHERE = (f"@{{bind:{PORT}}}:@{{port:{PORT}}}", "@{bind:master}:@{port:master}.@{port:master-grpc}")

# Port options of all listening parts. A part without its option would listen on a fixed port.
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

# The S3 gateway reports healthy before the master has registered the volumes, and reads fail for seconds after a start.
# The master is queried through its shell, as its HTTP interface is off. The program asks for two seconds: a new one
# for each question took more CPU time than the store itself.
HEALTHY = """
import socket, subprocess, sys, time
weed, s3, master = sys.argv[1:]
host, _, port = s3.rpartition(":")
def missing():
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as gateway:
            gateway.sendall(b"GET /healthz HTTP/1.0\\r\\n\\r\\n")
            status = gateway.makefile("rb").readline().split()[1:2]
    except OSError as error:
        return f"/healthz: {error}"
    if status != [b"200"]:
        return f"/healthz answers {b''.join(status).decode(errors='replace') or 'nothing'}"
    shell = [weed, "shell", f"-master={master}"]
    listing = subprocess.run(shell, input=b"volume.list\\n", capture_output=True, timeout=8).stdout
    return None if b"(volume:" in listing else "the master has no registered volume"
end = time.monotonic() + 2
while (reason := missing()) and time.monotonic() < end:
    time.sleep(0.05)
sys.exit(reason)
"""

# Unix sockets in /tmp (TMPDIR is ignored), which remain after SIGKILL.
LEAVES = tuple(
    f"/tmp/seaweedfs-{part}-grpc-@{{port:{part}-grpc}}.sock"  # noqa: S108 - the name is SeaweedFS's own
    for part in ("s3", "filer", "volume", "master", "admin")
)

# It takes several data folders, divided by commas; a path with one in it is given as a link beside its other files.
START = 'ln -sfn "$1" data && shift && exec "$@"'

# Disabled parts: they are not needed, would listen, and one sends telemetry.
OFF = (
    "-disableHttp=true",  # its file server serves every object without authentication
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

    `limit_mb`: only for SeaweedFS: size limit in MiB, existing data in `volume` included. A write beyond it fails with
    InternalError (500), as on a full disk; reads still work. Raises UsageError when a secret is missing, MissingPart
    when SeaweedFS is needed on this machine and not installed.
    """
    if missing := [key for key in (ACCESS, SECRET) if key not in secrets]:
        raise UsageError(f"node {name}: no secret {missing[0]}; add its reference to the secrets of the site")
    if runs_images(site):
        return _minio(name, volume, secrets)
    size, count = (VOLUME_MB, 0) if limit_mb is None else (1, limit_mb)
    args = (
        "-logtostderr=true",
        "mini",
        "-dir=data",
        f"-ip=@{{bind:{PORT}}}",
        f"-ip.bind=@{{bind:{PORT}}}",
        *(f"-{option}=@{{port:{port}}}" for port, option in LISTENERS.items()),
        "-s3.config=@{file:owner}",
        # Relative paths, because the path of a socket is limited to about 100 bytes.
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        f"-master.volumeSizeLimitMB={size}",
        f"-volume.max={count}",
        "-idleTimeout=5",  # seconds; a shutdown waits for the timeout of idle connections
        *OFF,
    )
    return NodeSpec(
        name=name,
        argv=("sh", "-c", START, "sh", f"@{{volume:{volume}}}", program("weed"), *args),
        ports=tuple(LISTENERS),
        volumes=(volume,),
        secrets={key: secrets[key] for key in (ACCESS, SECRET)},
        files={"owner": _owner()},
        ready=Ready(
            argv=(sys.executable, "-I", "-S", "-c", HEALTHY, program("weed"), *WHERE), patience=PATIENCE.store_ready
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
        # Not /minio/health/ready: it answers 200 while buckets and credentials are still loading and S3 answers 503.
        ready=Ready(port=PORT, path="/minio/health/cluster", patience=PATIENCE.store_ready),
    )


def _owner() -> str:
    """Return SeaweedFS's identities file with one administrator; the site fills in its keys."""
    keys = {"accessKey": f"@{{secret:{ACCESS}|json}}", "secretKey": f"@{{secret:{SECRET}|json}}"}
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return json.dumps({"identities": [{"name": "owner", "credentials": [keys], "actions": actions}]})


def s3_of(node: Node, access_ref: str, secret_ref: str) -> S3:
    """Return the connection to the store of `node`; the references are the keys of its owner."""
    endpoint = node.endpoint(PORT)
    return S3(endpoint.inside, endpoint.outside, access_ref, secret_ref)
