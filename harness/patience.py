"""Patience: timeouts in seconds. Every timeout is in this table; none of them is a promise (an RTO or RPO budget).

On a slow machine `BLACKSTART_PATIENCE_<NAME>=<seconds>` replaces one timeout, and `BLACKSTART_PATIENCE_FACTOR=<number>`
multiplies all others.
"""

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from harness.core.errors import UsageError

PREFIX, FACTOR = "BLACKSTART_PATIENCE_", "FACTOR"


@dataclass(slots=True)
class Patience:
    """Timeouts in seconds. Each comment names the event that is waited for."""

    alert: float = 10.0  # a sent alert arrives
    api_connect: float = 3.0  # a Kubernetes API server takes a connection
    api_read: float = 15.0  # a Kubernetes API server answers
    api_unavailable: float = 60.0  # a Kubernetes API server comes back
    assertion: float = 60.0  # one declared query on a restored database
    backup_abort: float = 15.0  # running streams end after an aborted backup
    cache_lock: float = 1200.0  # another process releases the lock of a cache entry
    client_version: float = 10.0  # a client program of PostgreSQL says its version
    cluster_create: float = 240.0  # kind makes a cluster
    cluster_heals: float = 120.0  # a cluster recovers by itself and serves clients
    cluster_ready: float = 120.0  # a new cluster gets ready
    container_kill: float = 30.0  # the engine ends a killed container
    container_restart: float = 20.0  # a container that exited is started again: a dependency may start later
    cron_job: float = 240.0  # a CronJob of every minute fires and its Job ends
    dns_query: float = 2.0  # a name server answers
    dns_ready: float = 10.0  # the name server gets ready
    drill_store_complete: float = 10.0  # a drill's backup store puts the parts of an upload together
    drill_store_repeats: float = 3.0  # a request that a drill's backup store fails is repeated for so long
    drill_store_silence: float = 4.0  # a drill's backup store sends the next byte
    dump: float = 3600.0  # one pg_dump
    dump_begins: float = 60.0  # a dump has begun
    dump_lock: float = 60.0  # a dump gets its locks; other sessions hold the tables until then
    engine_answer: float = 300.0  # one response of the container engine; it unpacks large layers
    engine_connect: float = 10.0  # the container engine takes a connection
    engine_release: float = 10.0  # the engine releases a volume or network of a removed container
    existing_answers: float = 60.0  # a node of an existing site accepts a connection
    existing_query: float = 60.0  # a database server that accepts connections answers a query
    exit_code: float = 5.0  # the engine reports the exit code of an ended container
    fault_gone: float = 60.0  # the witness of an undone fault reports the old value
    fault_seen: float = 60.0  # the witness of an injected fault reports a change
    first_run: float = 300.0  # one command of a node's first run (initdb)
    first_writes: float = 30.0  # the first writes of the client load are acknowledged
    front_door: float = 10.0  # nginx tests or reloads a configuration
    front_door_ready: float = 10.0  # nginx gets ready
    heartbeat: float = 10.0  # the heartbeat URL answers
    delivery: float = 30.0  # an alert, a message or a heartbeat is delivered, however slowly its target answers
    http_ready: float = 60.0  # a declared program gets ready
    image_base: float = 900.0  # the base image is made
    image_minio: float = 1800.0  # MinIO is built
    image_node: float = 3600.0  # the node image of kind is built
    image_wheels: float = 900.0  # wheels are installed into an image
    inside_write: float = 1.0  # a client inside the old primary, which writes ten times a second, is answered
    isolation_task: float = 30.0  # a task that tries the isolation of sites ends
    kubectl: float = 60.0  # kubectl renders manifests
    ledger_read: float = 30.0  # the declared list of the ledger's writes is answered
    ledger_write: float = 1.0  # one write of the ledger
    log_flush: float = 5.0  # the last lines of a node's log arrive
    n8n_ready: float = 120.0  # n8n gets ready
    n8n_request: float = 30.0  # one request to n8n
    n8n_seed: float = 30.0  # n8n imports its example data
    n8n_stop: float = 20.0  # n8n shuts down gracefully
    n8n_webhook: float = 10.0  # a webhook is published after n8n is ready
    node_stop: float = 30.0  # a node shuts down gracefully
    notification_list: float = 30.0  # the notification service lists its messages
    notification_ready: float = 30.0  # the notification service gets ready
    npm_install: float = 900.0  # npm installs a tree
    odoo_neutralize: float = 300.0  # `odoo neutralize`
    odoo_ready: float = 120.0  # Odoo gets ready
    odoo_request: float = 30.0  # one request to Odoo; the first after a start is slow
    odoo_seed: float = 900.0  # one step of Odoo's seed
    part_install: float = 600.0  # one program is downloaded and installed
    pipe_close: float = 5.0  # a pipe closes after its writers were killed
    pipeline_end: float = 5.0  # a stage of an aborted pipeline ends
    pod_evicted: float = 60.0  # a killed or evicted pod is gone
    pod_start: float = 60.0  # the program of a new pod starts; a mount that failed is repeated after longer pauses
    # A controller removes a pod. After an outage of the API server it may retry a watch only after 60 s: client-go
    # doubles its pauses up to 30 s and adds up to as much again.
    pod_termination: float = 75.0
    port_closed: float = 10.0  # a cluster closes the port of a node that ended
    port_hand_over: float = 1.0  # a reserved port is free for its node
    postgres_ready: float = 60.0  # PostgreSQL gets ready; after a kill it replays its WAL first
    node_answers: float = 1.0  # a node of a lost site answers, if it still lives
    probe_answer: float = 5.0  # a probe is answered
    probe_command: float = 10.0  # a ready command ends
    probe_connect: float = 2.0  # a probe connects
    process_gone: float = 10.0  # killed processes disappear
    program_version: float = 30.0  # a program prints its version
    queued_delivery: float = 15.0  # queued messages arrive after a recovery
    relay_connect: float = 5.0  # a relay reaches its target
    replication_round: float = 600.0  # one replication round over one bucket
    replication_silence: float = 120.0  # a server sends the next bytes of a base backup; its checkpoint comes first
    report: float = 300.0  # Allure builds the report
    restore_database: float = 14400.0  # one pg_restore
    run_abort: float = 300.0  # interrupted work clears up and ends
    s3_answers: float = 60.0  # a site's object store answers after a start
    s3_connect: float = 3.0  # a site's object store takes a connection
    s3_read: float = 30.0  # a site's object store sends the next byte
    scale_down: float = 60.0  # a workload is scaled to zero
    service_connected: float = 5.0  # the server counts a session of a service whose key functions passed
    served_by: float = 5.0  # the expected site answers clients
    site_probe: float = 5.0  # a gateway reports which site it is
    sql_connect: float = 5.0  # PostgreSQL takes a connection
    standby_end: float = 45.0  # a standby applies what it is at, and its server is shut down
    standby_made: float = 600.0  # a drill's standby is made from its base backup, and has applied the WAL since
    static_pod: float = 60.0  # the kubelet stops or starts a static pod
    store_absence: float = 10.0  # a backup store that takes no connection is asked again for so long
    store_complete: float = 900.0  # the backup store puts the parts of an upload together, which takes minutes
    store_connect: float = 3.0  # the backup store takes a connection
    store_ready: float = 60.0  # an object store gets ready
    store_repeats: float = 120.0  # a request that the backup store fails is repeated for so long
    store_silence: float = 60.0  # the backup store sends the next byte
    store_write: float = 10.0  # one write of a ledger of a store: an order, an execution, a file
    strike_effect: float = 15.0  # client requests fail after the strike
    task_kill: float = 10.0  # all processes of a task are killed
    task_output_end: float = 5.0  # standard error of a task ends after its output did
    time_server: float = 2.0  # a time server answers
    traffic_switch: float = 15.0  # new connections reach the other site
    wal_receiver: float = 60.0  # the receiver of WAL of a drill's primary has begun
    wal_shipped: float = 120.0  # the continuous archive ships the WAL that a base backup needs
    wal_silence: float = 30.0  # a server that was asked for a sign of life sends one to a receiver of WAL
    volume_agent_silence: float = 60.0  # a volume's agent sends the next byte
    volume_agent_start: float = 20.0  # a volume's agent starts
    witness: float = 3.0  # the primary takes a connection of `blackstart recover`, if it lives
    workload_ready: float = 600.0  # a workload of an existing site gets ready, image pull included


def read_patience(environment: Mapping[str, str]) -> Patience:
    """Return the table with the overrides of `environment`; raises UsageError for an unknown name or a bad number."""
    given = {key.removeprefix(PREFIX): text for key, text in environment.items() if key.startswith(PREFIX)}
    factor = _positive(FACTOR, given.pop(FACTOR, "1"))
    defaults = {field.name: float(getattr(Patience(), field.name)) for field in fields(Patience)}
    for name in given:
        if name.lower() not in defaults:
            near = difflib.get_close_matches(name.lower(), defaults, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else f"; see {PREFIX}{FACTOR}"
            raise UsageError(f"{PREFIX}{name}: no such patience{hint}")
    chosen = {name.lower(): _positive(name, text) for name, text in given.items()}
    return replace(Patience(), **{name: chosen.get(name, seconds * factor) for name, seconds in defaults.items()})


def _positive(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{PREFIX}{name}: {text!r} is not a number of seconds above zero")
    return value


def read_environment() -> str:
    """Read the overrides from the environment into `PATIENCE`; return an error message, "" when they are valid."""
    try:
        found = read_patience(os.environ)
    except UsageError as error:
        return str(error)
    for field in fields(Patience):
        setattr(PATIENCE, field.name, getattr(found, field.name))
    return ""


PATIENCE = Patience()
MISTAKE = read_environment()  # reported by the command line and by pytest before anything is started
