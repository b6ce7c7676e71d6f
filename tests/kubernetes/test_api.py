"""The client of the Kubernetes API without a cluster: malformed kubeconfigs, and its log."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.kubernetes.api import Api

KEY = "canary-0c44e2"  # what a kubeconfig holds: it may be in no error
GOOD = """
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: x, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: x, context: {{cluster: x, user: x}}}}]
users: [{{name: x, user: {{token: x}}}}]
"""
ANSWERS = {
    "/version": {"major": "1", "minor": "30"},
    "/apis": {"kind": "APIGroupList", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "", "kind": "Pod", "namespaced": True, "verbs": ["list"]}],
    },
    "/api/v1/namespaces/default/pods": {"items": []},
}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"users:\n- token: {KEY}\n  other: [1\nb: }}".encode(), "line 4 is not YAML"),
        (b"\xff\xfe\x00bad", "it is not YAML"),
        (f"a: {KEY}\x07".encode(), "it is not YAML"),
        (f"- {KEY}\n".encode(), "its YAML has another form"),
        (KEY.encode(), "its YAML has another form"),
        (b"42", "its YAML has another form"),
        (b"current-context: x\nclusters: 3\n", "its YAML has another form"),
        (f"contexts: [{KEY}]\n".encode(), ""),
    ],
)
def test_a_malformed_kubeconfig_is_reported_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"^{path}: ") as refused:
        Api("cluster x", "default", path, "x", 1.0).identity()
    text = str(refused.value)
    assert "\n" not in text
    assert KEY not in text
    assert not why or text == f"{path}: is no kubeconfig ({why}); correct it, or name another"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(ANSWERS[self.path.partition("?")[0]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        pass


@pytest.fixture
def server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made.server_address[1]
        made.shutdown()
        thread.join()


def test_without_a_cache_no_warning_about_one_is_logged(
    server: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(GOOD.format(port=server))
    with caplog.at_level(logging.WARNING):
        assert Api("cluster x", "default", path, "x", 1.0).pods() == ()
    assert not [record for record in caplog.records if "cache" in record.getMessage()]
