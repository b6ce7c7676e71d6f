"""Traefik's static and dynamic configuration, written as JSON, which is valid YAML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.node import Address
from harness.core.service import Route
from harness.traffic.door import SITE_HEADER, SITE_PATH

HIGHEST = 100_000  # priority above that of any route


@dataclass(frozen=True, slots=True)
class Limits:
    """Rate limit of one client: requests a second on average, and at once."""

    average: int = 200
    burst: int = 400


def static_text() -> str:
    """Return Traefik's static configuration, without version checks and usage statistics."""
    # X-Forwarded-For is trusted from the front door, which is on loopback or on a private network of this machine.
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
                }
            },
            # Routed explicitly, because a separate entry point would answer before the routes are loaded.
            "ping": {"manualRouting": True},
            "providers": {"file": {"filename": "@{file:routes.yml|json}", "watch": False}},
            # Idle connections are closed before the service closes them (uvicorn: after 5 s). Otherwise a request
            # that is sent just then would be answered 502, because it cannot be repeated.
            "serversTransport": {"forwardingTimeouts": {"dialTimeout": "2s", "idleConnTimeout": "1s"}},
        }
    )


def dynamic_text(site: str, routes: Sequence[Route], peers: Mapping[str, Address], limits: Limits) -> str:
    """Return Traefik's dynamic configuration for those of `routes` whose service is in `peers`."""
    open_routes = [route for route in routes if route.service in peers]
    routers: dict[str, Any] = {
        # Both name the site: the first one for probes, the second one where there is no other route.
        "site": _router(f"Path(`{SITE_PATH}`)", HIGHEST, ["site"], "ping@internal"),
        "nothing": _router("PathPrefix(`/`)", 1, ["site", "limit"], "nothing"),
    }
    middlewares: dict[str, Any] = {
        "site": {"headers": {"customResponseHeaders": {SITE_HEADER: site}}},
        "limit": {
            "rateLimit": {
                "average": limits.average,
                "burst": limits.burst,
                # The last address in X-Forwarded-For: the client, not the front door.
                "sourceCriterion": {"ipStrategy": {"depth": 1}},
            }
        },
    }
    services: dict[str, Any] = {"nothing": {"loadBalancer": {"servers": []}}}
    for route in open_routes:
        used = ["site", "limit"]
        if route.auth:
            used.append("key")
            # The services behind the gateway never see the key.
            middlewares["key"] = {
                "basicAuth": {"usersFile": "@{file:users|json}", "removeHeader": True, "realm": "gateway"}
            }
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
