"""What holds for every route over HTTP of a governed host, also for one that is added tomorrow."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import httpx
import pytest

from altar.aesp.web.routes import ROUTES, Access
from tests.integration.foundation_scene import FoundationGrid

pytestmark = pytest.mark.timeout(240)

GOVERNED = {name: route for name, route in ROUTES.items() if route.access is Access.TENANT}
FREE = {name for name in ROUTES if " /saml/" in name}
"""What needs no permission: to prove who one is. Nothing else may be added without thought."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    with FoundationGrid(tmp_path_factory.mktemp("routes") / "grid", runtimes=0, web=True) as made:
        made.tenant("acme")
        yield made


def test_only_proving_who_one_is_is_free() -> None:
    assert ROUTES.keys() - GOVERNED.keys() == FREE
    assert {"GET", "POST"} == {name.partition(" ")[0] for name in FREE}


def test_every_route_is_refused_without_its_permission_and_leaves_an_entry(scene: FoundationGrid) -> None:
    host = scene.grid.host
    assert host is not None
    trusted = ssl.create_default_context(cafile=scene.grid.client.authority)
    address = host.ready()["web"]
    base = address if "://" in address else f"https://{address}"
    keys = {name: _key(scene, f"nobody-{number}") for number, name in enumerate(GOVERNED)}

    with httpx.Client(base_url=base, verify=trusted, trust_env=False) as client:
        answers = {
            name: client.request(
                route.method, _path(route.path), json={}, headers={"authorization": f"Bearer {keys[name]}"}
            ).status_code
            for name, route in GOVERNED.items()
        }
        without = client.get("/scim/v2/Users").status_code

    assert dict.fromkeys(GOVERNED, 403) == answers
    assert 401 == without
    last = f"acme/svc:nobody-{len(GOVERNED) - 1}"
    scene.recorded("acme", "call.denied", last, "DENIED")
    denied = scene.events("acme", event_type="call.denied")
    told = {one["principal_id"]: (one["resource"].partition("/")[0], one["action"], one["code"]) for one in denied}
    wanted = {
        f"acme/svc:nobody-{number}": (route.kind, route.action, "PERMISSION_DENIED")
        for number, route in enumerate(GOVERNED.values())
    }
    assert wanted == told


def _key(scene: FoundationGrid, name: str) -> str:
    """The key of a new program that has no role."""
    wanted = {"tenant_id": "acme", "name": name}
    return str(scene.ask("EnterpriseIdentityService/CreateServiceAccount", wanted)["api_key"])


def _path(path: str) -> str:
    """A path of a route, whatever its parts mean."""
    return re.sub(r"\{[^}]*\}", "x", path.replace("{kind:scim_kind}", "Users"))
