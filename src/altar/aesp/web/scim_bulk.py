"""Bulk jobs of SCIM: many operations in one request, each a transaction of its own (RFC 7644 §3.7).

An operation may name what an earlier one of the same job made, as ``bulkId:…``.
A job has at most 100 operations; it stops after as many errors as it says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError as Unfit
from scim2_models import (
    BulkOperation,
    BulkResponse,
    Context,
    Error,
    InvalidPathException,
    InvalidSyntaxException,
    InvalidValueException,
    PatchOp,
    PayloadTooLargeException,
    SCIMException,
    ScimPolicy,
    ScimProvider,
)

from altar.adm.errors import AltarError
from altar.aesp.identity.scim_roster import Resource, Roster, ScimGroup, ScimUser
from altar.aesp.web.gate import status_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["MOST_OPERATIONS", "Bulk"]

MOST_OPERATIONS = 100
"""Operations of one job."""

_MODELS: dict[str, Any] = {"Users": ScimUser, "Groups": ScimGroup}
_REFERENCE = "bulkId:"


class Bulk:
    """Carries out jobs for one tenant at a time."""

    def __init__(self, store: Store, roster: Roster, provider: ScimProvider) -> None:
        self._store = store
        self._roster = roster
        self._provider = provider

    async def run(self, body: dict[str, Any], *, tenant: str, policy: ScimPolicy) -> BulkResponse[Any]:
        """Do the operations in their order and say how each ended.

        Raises InvalidSyntaxException for what is no job, PayloadTooLargeException beyond 100 operations.
        """
        operations = body.get("Operations", body.get("operations"))
        most = body.get("failOnErrors")
        if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
            raise InvalidSyntaxException(detail="A bulk job has Operations")
        if len(operations) > MOST_OPERATIONS:
            raise PayloadTooLargeException(detail=f"A bulk job has at most {MOST_OPERATIONS} operations")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise InvalidValueException(detail="failOnErrors is a whole number above zero")
        made: dict[str, str] = {}
        done: list[BulkOperation[Any]] = []
        failed = 0
        for operation in operations:
            result = await self._one(operation, tenant=tenant, policy=policy, made=made)
            done.append(result)
            failed += isinstance(result.response, Error)
            if most is not None and failed >= most:
                break
        return BulkResponse[ScimUser | ScimGroup](Operations=done)

    async def _one(
        self, operation: dict[str, Any], *, tenant: str, policy: ScimPolicy, made: dict[str, str]
    ) -> BulkOperation[Any]:
        method = str(operation.get("method", "")).upper()
        told = BulkOperation[ScimUser]()
        told.method = BulkOperation.Method(method) if method in list(BulkOperation.Method) else None
        bulk_id = operation.get("bulkId")
        told.bulk_id = bulk_id if isinstance(bulk_id, str) else None
        try:
            resource = await self._do(method, operation, tenant=tenant, policy=policy, made=made)
        except Unfit as error:
            return _failed(told, Error.from_validation_errors(error)[0], operation, self._roster.base)
        except SCIMException as error:
            return _failed(told, error.to_error(), operation, self._roster.base)
        except AltarError as error:
            answer = Error(status=status_of(error), detail=error.message)
            return _failed(told, answer, operation, self._roster.base)
        told.status = {"POST": 201, "DELETE": 204}.get(method, 200)
        told.location = _location(operation, self._roster.base)
        if resource is not None:
            told.location, told.version = str(resource.meta.location), str(resource.meta.version)
            if method == "POST" and told.bulk_id:
                made[told.bulk_id] = str(resource.id)
        return told

    async def _do(
        self, method: str, operation: dict[str, Any], *, tenant: str, policy: ScimPolicy, made: dict[str, str]
    ) -> Resource | None:
        path = str(operation.get("path", "")).strip("/").split("/")
        model = _MODELS.get(path[0])
        if model is None or len(path) != (1 if method == "POST" else 2):
            raise InvalidPathException(detail="The path of the operation is none")
        if method == "POST" and not operation.get("bulkId"):
            raise InvalidValueException(detail="An operation that makes something has a bulkId")
        data = json.loads(_resolved(json.dumps(operation.get("data")), made))
        id = _resolved(path[1], made) if len(path) == 2 else ""
        match = operation.get("version")
        work = self._work(method, model, data, tenant=tenant, id=id, match=match if isinstance(match, str) else None)

        def within(connection: Connection) -> Resource | None:
            with policy:
                return work(connection)

        return await self._store.run(within, tenant=tenant)

    def _work(self, method: str, model: Any, data: Any, *, tenant: str, id: str, match: str | None) -> Any:
        roster, kind = self._roster, "User" if model is ScimUser else "Group"
        if method == "DELETE":
            return lambda c: roster.delete(c, tenant=tenant, kind=kind, id=id, match=match)
        if not isinstance(data, dict):
            raise InvalidSyntaxException(detail="The operation has no data")
        if method == "POST":
            new = model.model_validate(data, scim_ctx=Context.RESOURCE_CREATION_REQUEST)
            return lambda c: roster.create(c, tenant=tenant, resource=new)
        if method == "PUT":
            put = model.model_validate(data, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST)
            return lambda c: roster.replace(c, tenant=tenant, kind=kind, id=id, resource=put, match=match)
        if method == "PATCH":
            patch = PatchOp[model].model_validate(data, scim_ctx=Context.RESOURCE_PATCH_REQUEST)
            return lambda c: roster.patch(c, tenant=tenant, kind=kind, id=id, patch=patch, match=match)
        raise InvalidSyntaxException(detail="The method of the operation is none")


def _resolved(text: str, made: dict[str, str]) -> str:
    """Put the ids of what was made in the place of their ``bulkId:…``; one that was not made is left and not found."""
    for bulk_id in sorted(made, key=len, reverse=True):
        quoted = json.dumps(bulk_id)[1:-1]
        text = text.replace(f'"{_REFERENCE}{quoted}"', json.dumps(made[bulk_id]))
        if text == f"{_REFERENCE}{bulk_id}":
            return made[bulk_id]
    return text


def _failed(told: BulkOperation[Any], error: Error, operation: dict[str, Any], base: str) -> BulkOperation[Any]:
    told.status, told.response = error.status, error
    if told.method is not BulkOperation.Method.post:
        told.location = _location(operation, base)
    return told


def _location(operation: dict[str, Any], base: str) -> str:
    path = str(operation.get("path", ""))[:200]
    return f"{base}/{path.strip('/')}"
