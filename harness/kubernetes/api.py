"""Client of the Kubernetes API: a few verbs, retried while the API server is unavailable, errors in one line."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, cast

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from harness.core.clock import SYSTEM, NotYet, wait_until
from harness.core.errors import HarnessError, TookTooLong, UsageError
from harness.kubernetes.answers import TRANSIENT, ApiRefused, refusal, said
from harness.kubernetes.objects import API_VERSIONS, OWNER, Manifest, Pod, pod_of
from harness.patience import PATIENCE

LONG = 24 * 3600.0  # seconds without output after which the log of a program is given up
EVERY = 0.2
# Path of no cache: the client warns about a cache file that exists and is empty, and cannot create one here.
NOWHERE = f"{os.devnull}/discovery.json"
FORBIDDEN, NOT_FOUND = 403, 404
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
MALFORMED = (yaml.YAMLError, TypeError, AttributeError, ValueError, LookupError)  # raised for a malformed kubeconfig


@dataclass(slots=True)
class Api:
    """Client for one namespace. `where`: the cluster's name in errors; `kubeconfig`: None inside of a cluster."""

    where: str
    namespace: str
    kubeconfig: Path | None
    context: str = ""
    patience: float = PATIENCE.api_unavailable
    cache: Path | None = None
    _client: DynamicClient | None = field(default=None, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def identity(self) -> str:
        """Return the unique id of this cluster: the UID of its namespace kube-system. Raises HarnessError."""
        found = self.get("Namespace", "kube-system")
        if found is None:
            raise HarnessError(f"{self.where}: has no namespace kube-system; it is no Kubernetes cluster")
        return str(found["metadata"]["uid"])

    def apply(self, manifests: Iterable[Manifest]) -> None:
        """Apply each server-side, in the order given, by default in this namespace. Raises HarnessError."""
        for manifest in manifests:
            where = self._path(manifest["kind"], manifest["metadata"]["name"], manifest.get("apiVersion", ""))
            self._call("patch", where, manifest, content_type=APPLY, field_manager=OWNER, force_conflicts=True)

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return one object, None where it does not exist. Raises HarnessError."""
        try:
            return self._call("get", self._path(kind, name))
        except ApiRefused as refused:
            if refused.status == NOT_FOUND:
                return None
            raise

    def find(self, kind: str, selector: str = "") -> tuple[Manifest, ...]:
        """Return every object of a kind, or those that a label selector matches. Raises HarnessError."""
        return tuple(self._call("get", self._path(kind), label_selector=selector or None).get("items", ()))

    def pods(self, selector: str = "") -> tuple[Pod, ...]:
        """Return every pod, or those that a label selector matches. Raises HarnessError."""
        return tuple(map(pod_of, self.find("Pod", selector)))

    def patch(self, kind: str, name: str, change: Manifest, part: str = "") -> None:
        """Merge a change (RFC 7386) into an object, or into a `part` of it such as `scale`. Raises HarnessError."""
        self._call("patch", self._path(kind, name) + (f"/{part}" if part else ""), change, content_type=MERGE)

    def scale(self, kind: str, name: str, replicas: int) -> bool:
        """Set the number of replicas of a workload; return at once whether it exists. Raises HarnessError."""
        try:
            self.patch(kind, name, {"spec": {"replicas": replicas}}, "scale")
        except ApiRefused as refused:
            if refused.status == NOT_FOUND:
                return False
            raise
        return True

    def evict(self, pod: str) -> str:
        """Request a pod's eviction; return "" when it is granted or the pod is gone, otherwise the reason."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        try:
            self._attempt("post", f"{self._path('Pod', pod)}/eviction", body, read=PATIENCE.api_read)
        except NotYet as refused:  # a disruption budget answers 429
            return str(refused)
        except ApiRefused as refused:
            if refused.status != NOT_FOUND:
                raise
        return ""

    def delete(self, kind: str, name: str, *, grace: int | None = None) -> bool:
        """Delete an object with its dependents; return whether it existed. `grace` in seconds. Raises HarnessError."""
        try:
            self._call("delete", self._path(kind, name), grace_period_seconds=grace, propagation_policy="Background")
        except ApiRefused as refused:
            if refused.status == NOT_FOUND:
                return False
            raise
        return True

    def logs(self, pod: str, container: str = "", *, tail: int | None = None, previous: bool = False) -> bytes:
        """Return the log of a container of a pod, or of the one before it; nothing where there is no log."""
        query = [f"{key}={value}" for key, value in (("container", container), ("tailLines", tail)) if value]
        where = self._path("Pod", pod) + "/log?" + "&".join([*query, f"previous={str(previous).lower()}"])
        try:
            return self._attempt("get", where, None, read=PATIENCE.api_read)
        except (NotYet, ApiRefused):
            return b""

    def follow_log(self, pod: str, container: str) -> Iterator[bytes]:
        """Yield the log of a container as it is written, until it ends or the connection is lost. Raises nothing."""
        where = f"{self._path('Pod', pod)}/log?follow=true&container={container}"
        try:
            response = self._request("get", where, None, read=LONG)
        except (NotYet, ApiRefused):
            return
        try:
            yield from response.stream(amt=None, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError):
            return
        finally:
            response.close()

    def events(self, about: str, uid: str = "") -> tuple[str, ...]:
        """Return the events of objects of that name, of that uid if one is given, oldest first. Raises HarnessError."""
        chosen = f"involvedObject.name={about}" + (f",involvedObject.uid={uid}" if uid else "")
        found = self._call("get", self._path("Event"), field_selector=chosen).get("items", ())
        told = sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
        return tuple(" ".join(f"{e.get('reason', '')}: {e.get('message', '')}".split()) for e in told)

    def follow(self, kind: str, selector: str, patience: float) -> Iterator[tuple[Manifest, ...]]:
        """Yield all objects that a label selector matches, now and after each change (a watch), for `patience` seconds.

        An unavailable server is waited for until then. Raises HarnessError.
        """
        deadline = SYSTEM.monotonic() + patience
        reason = ""
        while (left := deadline - SYSTEM.monotonic()) > 0:
            try:
                yield from self._follow_once(kind, selector, left)
                reason = ""
            except NotYet as unavailable:
                reason = str(unavailable)
                SYSTEM.sleep(EVERY)
        if reason:
            raise TookTooLong(f"{self.where}: its API server does not answer: not within {patience:g} s ({reason})")

    def _follow_once(self, kind: str, selector: str, patience: float) -> Iterator[tuple[Manifest, ...]]:
        listed = json.loads(
            self._attempt("get", self._path(kind), None, label_selector=selector, read=PATIENCE.api_read)
        )
        found = {item["metadata"]["name"]: item for item in listed["items"]}
        yield tuple(found.values())
        for kind_of, item in self._watch(kind, selector, listed["metadata"]["resourceVersion"], patience):
            if kind_of == "DELETED":
                found.pop(item["metadata"]["name"], None)
            else:
                found[item["metadata"]["name"]] = item
            yield tuple(found.values())

    def _watch(self, kind: str, selector: str, since: str, patience: float) -> Iterator[tuple[str, Manifest]]:
        seconds = max(1, int(patience) + 1)
        options: dict[str, Any] = {
            "label_selector": selector,
            "resource_version": since,
            "timeout_seconds": seconds,
            "watch": True,
        }
        response = self._request("get", self._path(kind), None, read=patience + 1, **options)
        rest = b""
        try:
            for piece in response.stream(amt=None, decode_content=False):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # its resource version is too old: all is listed again
                        return
                    yield event["type"], event["object"]
        except urllib3.exceptions.ReadTimeoutError:
            return
        except urllib3.exceptions.HTTPError as error:
            raise NotYet(said(error)) from None
        finally:
            response.close()

    def _call(self, method: str, where: str, body: Manifest | None = None, **options: Any) -> Manifest:
        answer = wait_until(
            lambda: self._attempt(method, where, body, read=PATIENCE.api_read, **options),
            patience=self.patience,
            on=NotYet,
            every=EVERY,
            what=f"{self.where}: its API server does not answer",
        )
        return cast("Manifest", json.loads(answer))

    def _attempt(self, method: str, where: str, body: Manifest | None, *, read: float, **options: Any) -> bytes:
        response = self._request(method, where, body, read=read, **options)
        try:
            return bytes(response.data)
        except urllib3.exceptions.HTTPError as error:
            raise NotYet(said(error)) from None

    def _request(self, method: str, where: str, body: Manifest | None, *, read: float, **options: Any) -> Any:
        try:
            return self._dynamic().request(
                method, where, body=body, serialize=False, _request_timeout=(PATIENCE.api_connect, read), **options
            )
        except ApiException as error:
            # A server that has just started has not loaded its access rules yet: it refuses every request.
            if error.status in TRANSIENT or (error.status == FORBIDDEN and not self._is_ready()):
                raise NotYet(refusal(error)) from None
            raise ApiRefused(f"{self.where}: {where.partition('?')[0]}: {refusal(error)}", error.status) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NotYet(said(error)) from None

    def _is_ready(self) -> bool:
        try:
            self._dynamic().request(
                "get", "/readyz", serialize=False, _request_timeout=(PATIENCE.api_connect, PATIENCE.api_connect)
            )
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            return False
        return True

    def _path(self, kind: str, name: str = "", version: str = "") -> str:
        known = version or API_VERSIONS.get(kind, "v1")

        def look() -> str:
            try:
                found = self._dynamic().resources.get(api_version=known, kind=kind)
            except ResourceNotFoundError:
                raise HarnessError(f"{self.where}: has no kind {kind} of {known}; is its version too old?") from None
            except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                raise NotYet(said(error)) from None
            return str(found.path(name=name or None, namespace=self.namespace if found.namespaced else None))

        return wait_until(
            look, patience=self.patience, every=EVERY, what=f"{self.where}: its API server does not answer"
        )

    def _dynamic(self) -> DynamicClient:
        with self._lock:
            if self._client is None:
                cache = str(self.cache or NOWHERE)
                self._client = DynamicClient(self._connect(), cache_file=cache)  # type: ignore[no-untyped-call]
            return self._client

    def _connect(self) -> client.ApiClient:
        settings = client.Configuration()
        try:
            if self.kubeconfig is None:
                config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    str(self.kubeconfig), self.context or None, settings, persist_config=False
                )
        except (ConfigException, OSError) as error:
            what = self.kubeconfig or "the service account of this pod"
            raise UsageError(f"{what}: leads to no cluster ({' '.join(str(error).split())})") from None
        except MALFORMED as error:
            why = _malformed(error)
            raise UsageError(f"{self.kubeconfig}: is no kubeconfig ({why}); correct it, or name another") from None
        settings.retries = False
        return client.ApiClient(settings)


def _malformed(error: Exception) -> str:
    """Return why a kubeconfig is malformed, without any of its text: it contains keys."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1} is not YAML"
    if isinstance(error, (yaml.YAMLError, UnicodeError)):
        return "it is not YAML"
    return "its YAML has another form"
