"""Traefik's two configuration files, as text. JSON is YAML, so they are written as JSON: nothing to quote by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.node import Address
from harness.core.service import Route
from harness.traffic.witness import SITE_HEADER, SITE_PATH

# Above the priority of any route.
FIRST = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second that one client may send, and how many at once."""

    average: int = 200
    burst: int = 400


def static_text() -> str:
    """Return Traefik's static configuration. It asks nobody for new versions and reports to nobody."""
    # The front door says for whom it asks; it is on loopback, or on a network of this machine's own.
    front = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    return _text(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "WARN"},
            "entryPoints": {
                "http": {
                    "address": "@{bind:http}:@{port:http}",
                    "forwardedHeaders": {"trustedIPs": front},
                    # Odoo's uploads may take longer than the default of a minute.
                    "transport": {"respondingTimeouts": {"readTimeout": "5m"}, "lifeCycle": {"graceTimeOut": "2s"}},
                },
            },
            # Asked through a router of ours: an entry point of its own would answer before the routes are read.
            "ping": {"manualRouting": True},
            "providers": {"file": {"filename": "@{file:routes.yml}", "watch": False}},
            # A connection is given up before the service behind it does so: uvicorn after five seconds, others later.
            # A request that meets a connection just as it is closed cannot be sent again, and would be a 502.
            "serversTransport": {"forwardingTimeouts": {"dialTimeout": "2s", "idleConnTimeout": "1s"}},
        }
    )


def dynamic_text(site: str, routes: Sequence[Route], peers: Mapping[str, Address], limits: Limits) -> str:
    """Return routers, middlewares and services for those of `routes` whose service is among `peers`."""
    open_routes = [route for route in routes if route.service in peers]
    routers: dict[str, Any] = {
        # Says which site this is, with nothing behind it; and says so as well where no route leads.
        "site": _router(f"Path(`{SITE_PATH}`)", FIRST, ["site"], "ping@internal"),
        "nothing": _router("PathPrefix(`/`)", 1, ["site", "limit"], "nothing"),
    }
    middlewares: dict[str, Any] = {
        "site": {"headers": {"customResponseHeaders": {SITE_HEADER: site}}},
        "limit": {
            "rateLimit": {
                "average": limits.average,
                "burst": limits.burst,
                # The last hop that the front door wrote down: the client, not the front door itself.
                "sourceCriterion": {"ipStrategy": {"depth": 1}},
            }
        },
    }
    services: dict[str, Any] = {"nothing": {"loadBalancer": {"servers": []}}}
    for route in open_routes:
        used = ["site", "limit"]
        if route.auth:
            used.append("key")
            # The key is the gateway's business: what stands behind it never sees it.
            middlewares["key"] = {"basicAuth": {"usersFile": "@{file:users}", "removeHeader": True, "realm": "gateway"}}
        prefix = route.prefix.rstrip("/")
        if route.strip and prefix:
            middlewares[f"strip-{route.service}"] = {"stripPrefix": {"prefixes": [prefix]}}
            used.append(f"strip-{route.service}")
        rule = f"Path(`{prefix}`) || PathPrefix(`{prefix}/`)" if prefix else "PathPrefix(`/`)"
        routers[f"to-{route.service}"] = _router(rule, 10 + len(prefix), used, f"at-{route.service}")
        services[f"at-{route.service}"] = {"loadBalancer": {"servers": [{"url": f"http://{peers[route.service]}"}]}}
    return _text({"http": {"routers": routers, "middlewares": middlewares, "services": services}})


def _router(rule: str, priority: int, middlewares: list[str], service: str) -> dict[str, Any]:
    return {
        "rule": rule, "priority": priority, "entryPoints": ["http"], "middlewares": middlewares, "service": service,
    }  # fmt: skip


def _text(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=1) + "\n"
