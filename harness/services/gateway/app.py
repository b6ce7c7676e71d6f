"""API gateway service: Traefik with a file of routes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.core.errors import Finding, HarnessError
from harness.core.node import NodeSpec, Ready, runs_images
from harness.core.service import KeyFunction, Place, PublicDoor, Route, Sources
from harness.parts.programs import program
from harness.services.gateway.configuration import Limits, dynamic_text, static_text
from harness.traffic.door import GATEWAY_KEY, SITE_PATH, basic_auth

IMAGE = "traefik"
DEFAULT_LIMITS = Limits()
USERS = "gateway-users"  # the secret with the site's list of users
OK, UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER_ERROR = 200, 401, 403, 429, 500


@dataclass(frozen=True, slots=True)
class Gateway:
    """Routes requests to the services that run when it starts, and refuses requests without the key."""

    name: str = "gateway"
    routes: tuple[Route, ...] = ()
    needs: tuple[str, ...] = ()
    limits: Limits = DEFAULT_LIMITS

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its node, ready once its routes are loaded. Raises HarnessError without a secret it needs."""
        files = {
            "traefik.yml": static_text(),
            "routes.yml": dynamic_text(place.site.name, self.routes, place.peers, self.limits),
        }
        secrets: dict[str, str] = {}
        if any(route.auth and route.service in place.peers for route in self.routes):
            if USERS not in place.secrets:
                raise HarnessError(
                    f"{self.name}: site {place.site.name} has no secret {USERS!r}; everybody would have access"
                )
            secrets["users"] = place.secrets[USERS]
            files["users"] = "@{secret:users}\n"
        argument = "--configFile=@{file:traefik.yml}"
        return (
            NodeSpec(
                name=self.name,
                argv=(argument,) if runs_images(place.site) else (program("traefik"), argument),
                image=IMAGE,
                ports=("http",),
                public=True,
                secrets=secrets,
                files=files,
                ready=Ready(port="http", path=SITE_PATH),
            ),
        )

    def sources(self) -> Sources:
        """Return no backup sources: it is configured by estate.toml and the secrets."""
        return Sources()

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return a key function (message 2.8) for a route that requires the key, none if there is no such route."""
        guarded = [route for route in self.routes if route.auth]
        if not guarded:
            return ()
        if GATEWAY_KEY not in secrets:
            raise HarnessError(f"{self.name}: the clients have no secret {GATEWAY_KEY!r}; the gateway cannot be tested")
        chosen = next((route for route in guarded if route.ready), guarded[0])
        check = partial(refuses_without_key, route=chosen, reference=secrets[GATEWAY_KEY])
        return (KeyFunction("a call without key is refused", self.name, "2.8", check),)


def refuses_without_key(door: PublicDoor, route: Route, reference: str) -> str:
    """Require that the key is needed and enough; return a line for the record. Raises Finding, OSError."""
    path = route.ready or f"{route.prefix.rstrip('/')}/"
    stranger = door.request("GET", path).status
    if stranger != UNAUTHORIZED:
        raise Finding(f"GET {path} without the key: answered {stranger}, not {UNAUTHORIZED}")
    client = door.request("GET", path, headers=basic_auth(reference)).status
    kept_out = client in (UNAUTHORIZED, FORBIDDEN, TOO_MANY) or client >= SERVER_ERROR
    if kept_out or (route.ready and client != OK):
        raise Finding(f"GET {path} with the key: answered {client}")
    return f"GET {path}: {stranger} without the key, {client} with it"
