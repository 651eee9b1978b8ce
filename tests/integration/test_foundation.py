"""A host with identities, tenants and roles, from its beginning to its record, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.errors import AuthorizationError
from tests.integration.foundation_scene import FoundationGrid


@pytest.fixture
def scene(tmp_path: Path, store_url: str) -> Iterator[FoundationGrid]:
    with FoundationGrid(tmp_path / "grid", database_url=store_url) as made:
        made.tenant("acme")
        yield made


def test_somebody_signs_in_gets_a_role_calls_loses_the_role_and_is_refused_and_the_record_shows_it(
    scene: FoundationGrid,
) -> None:
    token = scene.person("acme", "alice", "viewer")
    role = scene.give("acme", "alice", "developer")

    with scene.session(token) as session:
        allowed = session.call("weather", city="Graz")
        scene.take("acme", role)
        refused = session.call("weather", city="Graz")

    assert "sunny in Graz" == allowed.unwrap()
    assert refused.error is not None
    assert "PERMISSION_DENIED" == refused.error.type
    denied = scene.recorded("acme", "call.denied", "acme/alice", "DENIED")
    assert ("tools/weather", "execute", "PERMISSION_DENIED") == (denied["resource"], denied["action"], denied["code"])
    scene.recorded("acme", "call.ended", "acme/alice", "SUCCESS")
    scene.recorded("acme", "admin.binding_delete", "operator/root", "SUCCESS")


def test_without_a_role_no_session_is_opened(scene: FoundationGrid) -> None:
    token = scene.person("acme", "bob")

    with pytest.raises(AuthorizationError) as refused, scene.session(token):
        pass

    assert "PERMISSION_DENIED" == refused.value.code
