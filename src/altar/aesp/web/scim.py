"""SCIM 2.0 over HTTP: users and groups of the bearer's tenant (RFC 7643, RFC 7644).

A request is read by scim2-models, done in one transaction on the roster, and answered in SCIM's words.
A foreign id, an id that never was and one that is gone are answered with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError as Unfit
from scim2_models import (
    Context,
    Error,
    InvalidSyntaxException,
    ListResponse,
    NotFoundException,
    PatchOp,
    ResponseParameters,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    SearchRequest,
)
from starlette.responses import Response

from altar.adm.canonical import parse
from altar.adm.errors import AltarError
from altar.aesp.identity.scim_roster import Resource, Roster, ScimGroup, ScimUser, matches
from altar.aesp.identity.scim_search import found, found_anywhere
from altar.aesp.web.app import Part
from altar.aesp.web.gate import LARGEST_BODY, Asked, Handler
from altar.aesp.web.scim_bulk import MOST_OPERATIONS, Bulk
from altar.aesp.web.scim_config import described

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.requests import Request

    from altar.aesp.store.database import Store

__all__ = ["PREFIX", "Scim"]

PREFIX = "/scim/v2"
MEDIA_TYPE = "application/scim+json"

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,  # what we do not know gives nothing, and provisioners send much
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,  # so does Microsoft Entra
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,  # same
)

_MODELS: dict[str, Any] = {"Users": ScimUser, "Groups": ScimGroup}
_DEEPEST = 16


class Scim:
    """The SCIM service of a host: `part` gives its handlers to the application."""

    def __init__(self, store: Store, roster: Roster) -> None:
        """Take the store, and the roster that writes to it."""
        self._store = store
        self._roster = roster
        self.provider: ScimProvider = described(base=roster.base, operations=MOST_OPERATIONS, bytes_=LARGEST_BODY)
        self._bulk = Bulk(store, roster, self.provider)

    def part(self) -> Part:
        """Give the routes below `PREFIX`."""
        kind = f"{PREFIX}/{{kind:scim_kind}}"
        handlers: dict[str, Handler] = {
            f"GET {PREFIX}/ServiceProviderConfig": self._config,
            f"GET {PREFIX}/ResourceTypes": self._resource_types,
            f"GET {PREFIX}/ResourceTypes/{{name}}": self._resource_type,
            f"GET {PREFIX}/Schemas": self._schemas,
            f"GET {PREFIX}/Schemas/{{name}}": self._schema,
            f"GET {kind}": self._list,
            f"POST {kind}": self._create,
            f"POST {kind}/.search": self._search,
            f"GET {kind}/{{id}}": self._show,
            f"PUT {kind}/{{id}}": self._replace,
            f"PATCH {kind}/{{id}}": self._patch,
            f"DELETE {kind}/{{id}}": self._delete,
            f"POST {PREFIX}/.search": self._search_all,
            f"POST {PREFIX}/Bulk": self._do_bulk,
        }
        return Part(PREFIX, {name: _in_words(handler) for name, handler in handlers.items()}, _refuse)

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────

    async def _config(self, asked: Asked) -> Response:
        config = self.provider.config
        assert config is not None  # noqa: S101 (described makes one)
        return _answer(config.model_dump_json(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))

    async def _resource_types(self, asked: Asked) -> Response:
        return _discovered(asked, list(self.provider.resource_types))

    async def _resource_type(self, asked: Asked) -> Response:
        return _one_of(asked, list(self.provider.resource_types))

    async def _schemas(self, asked: Asked) -> Response:
        return _discovered(asked, list(self.provider.schemas))

    async def _schema(self, asked: Asked) -> Response:
        return _one_of(asked, list(self.provider.schemas))

    # ── users and groups ─────────────────────────────────────────────────────────────────────────────────

    async def _list(self, asked: Asked) -> Response:
        query = dict(asked.request.query_params)
        request = _search_of(asked).model_validate(query, scim_ctx=Context.RESOURCE_QUERY_REQUEST)
        return await self._found(asked, request, Context.RESOURCE_QUERY_RESPONSE)

    async def _search(self, asked: Asked) -> Response:
        request = _search_of(asked).model_validate(_json(asked), scim_ctx=Context.SEARCH_REQUEST)
        return await self._found(asked, request, Context.SEARCH_RESPONSE)

    async def _search_all(self, asked: Asked) -> Response:
        request: Any = SearchRequest[ScimUser | ScimGroup].model_validate(_json(asked), scim_ctx=Context.SEARCH_REQUEST)

        def work(connection: Connection) -> tuple[int, list[Resource]]:
            with POLICY:
                return found_anywhere(connection, self._roster, tenant=asked.tenant, request=request)

        total, resources = await self._store.run(work, tenant=asked.tenant, reads=True)
        return _listed(ListResponse[ScimUser | ScimGroup], request, total, resources, Context.SEARCH_RESPONSE)

    async def _found(self, asked: Asked, request: SearchRequest[Any], context: Context) -> Response:
        kind = _kind(asked)

        def work(connection: Connection) -> tuple[int, list[Resource]]:
            with POLICY:
                return found(connection, self._roster, tenant=asked.tenant, kind=kind, request=request)

        total, resources = await self._store.run(work, tenant=asked.tenant, reads=True)
        list_of = ListResponse[_model(asked)]  # type: ignore[misc,valid-type]  # the class of this route
        return _listed(list_of, request, total, resources, context)

    async def _create(self, asked: Asked) -> Response:
        model = _model(asked)
        wanted = _parameters(asked)
        with POLICY:
            resource = model.model_validate(_json(asked), scim_ctx=Context.RESOURCE_CREATION_REQUEST)

        def work(connection: Connection) -> Resource:
            return self._roster.create(connection, tenant=asked.tenant, resource=resource)

        made = await self._run(asked, work)
        return _resource(made, Context.RESOURCE_CREATION_RESPONSE, wanted, status=201)

    async def _show(self, asked: Asked) -> Response:
        wanted = _parameters(asked)

        def work(connection: Connection) -> Resource:
            return self._roster.get(connection, tenant=asked.tenant, kind=_kind(asked), id=_id(asked))

        resource = await self._store.run(work, tenant=asked.tenant, reads=True)
        told = asked.request.headers.get("if-none-match")
        if told is not None and matches(told, str(resource.meta.version)):
            return Response(status_code=304, headers={"etag": str(resource.meta.version)})
        return _resource(resource, Context.RESOURCE_QUERY_RESPONSE, wanted)

    async def _replace(self, asked: Asked) -> Response:
        model, wanted = _model(asked), _parameters(asked)
        with POLICY:
            resource = model.model_validate(_json(asked), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST)

        def work(connection: Connection) -> Resource:
            return self._roster.replace(
                connection,
                tenant=asked.tenant,
                kind=_kind(asked),
                id=_id(asked),
                resource=resource.model_copy(deep=True),
                match=asked.request.headers.get("if-match"),
            )

        return _resource(await self._run(asked, work), Context.RESOURCE_REPLACEMENT_RESPONSE, wanted)

    async def _patch(self, asked: Asked) -> Response:
        wanted = _parameters(asked)
        with POLICY:
            patch_of: Any = PatchOp[_model(asked)]  # type: ignore[misc]  # the class of this route
            patch = patch_of.model_validate(_json(asked), scim_ctx=Context.RESOURCE_PATCH_REQUEST)

        def work(connection: Connection) -> Resource:
            return self._roster.patch(
                connection,
                tenant=asked.tenant,
                kind=_kind(asked),
                id=_id(asked),
                patch=patch,
                match=asked.request.headers.get("if-match"),
            )

        return _resource(await self._run(asked, work), Context.RESOURCE_PATCH_RESPONSE, wanted)

    async def _delete(self, asked: Asked) -> Response:
        def work(connection: Connection) -> None:
            self._roster.delete(
                connection,
                tenant=asked.tenant,
                kind=_kind(asked),
                id=_id(asked),
                match=asked.request.headers.get("if-match"),
            )

        await self._run(asked, work)
        return Response(status_code=204)

    async def _do_bulk(self, asked: Asked) -> Response:
        with POLICY:
            answer = await self._bulk.run(_json(asked), tenant=asked.tenant, policy=POLICY)
        return _answer(answer.model_dump_json(scim_ctx=Context.BULK_RESPONSE))

    async def _run(self, asked: Asked, work: Callable[[Connection], Any]) -> Any:
        def within(connection: Connection) -> Any:
            with POLICY:
                return work(connection)

        return await self._store.run(within, tenant=asked.tenant)


def _in_words(handler: Handler) -> Handler:
    """Answer what SCIM refuses in SCIM's words."""

    async def answered(asked: Asked) -> Response:
        try:
            return await handler(asked)
        except Unfit as error:
            return _error(Error.from_validation_errors(error)[0])
        except SCIMException as error:
            return _error(error.to_error())
        except RecursionError:
            return _error(InvalidSyntaxException(detail="The request nests too deep").to_error())

    return answered


def _refuse(error: AltarError, _request: Request, status: int) -> Response:
    """Write an error of ours as SCIM's; the detail stays here."""
    return _error(Error(status=status, detail=error.message))


def _error(error: Error) -> Response:
    status = int(error.status or 400)
    response = _answer(error.model_dump_json(), status=status)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _answer(text: str, *, status: int = 200) -> Response:
    return Response(text, status_code=status, media_type=MEDIA_TYPE)


def _resource(resource: Resource, context: Context, wanted: Any, *, status: int = 200) -> Response:
    response = _answer(resource.model_dump_json(scim_ctx=context, response_parameters=wanted), status=status)
    response.headers["etag"] = str(resource.meta.version)
    if status == 201:
        response.headers["location"] = str(resource.meta.location)
    return response


def _listed(list_of: Any, request: Any, total: int, resources: list[Resource], context: Context) -> Response:
    response = list_of(
        total_results=total,
        start_index=request.start_index or 1,
        items_per_page=len(resources),
        resources=resources,
    )
    return _answer(response.model_dump_json(scim_ctx=context, response_parameters=request))


def _discovered(asked: Asked, resources: list[Any]) -> Response:
    if "filter" in asked.request.query_params:  # RFC 7644 §4: so that nobody takes an answer for a filtered one
        return _error(Error(status=403, detail="These cannot be filtered"))
    model = type(resources[0])
    response = ListResponse[model](  # type: ignore[valid-type]  # the class of what is listed
        total_results=len(resources), start_index=1, items_per_page=len(resources), resources=resources
    )
    return _answer(response.model_dump_json(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))


def _one_of(asked: Asked, resources: list[Any]) -> Response:
    name = str(asked.request.path_params["name"])
    one = next((each for each in resources if str(each.id) == name), None)
    if one is None:
        raise NotFoundException(detail="There is no such resource")
    return _answer(one.model_dump_json(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))


def _json(asked: Asked) -> Any:
    try:
        body = parse(asked.body, max_bytes=LARGEST_BODY, max_depth=_DEEPEST)
    except AltarError as error:
        raise InvalidSyntaxException(detail="The body is no JSON that can be read") from error
    if not isinstance(body, dict):
        raise InvalidSyntaxException(detail="The body is no JSON object")
    return body


def _search_of(asked: Asked) -> Any:
    return SearchRequest[_model(asked)]  # type: ignore[misc]  # the class of this route


def _parameters(asked: Asked) -> Any:
    query = {name: asked.request.query_params[name] for name in _ATTRIBUTES if name in asked.request.query_params}
    return ResponseParameters[_model(asked)].model_validate(query)  # type: ignore[misc]  # the class of this route


_ATTRIBUTES = ("attributes", "excludedAttributes")


def _kind(asked: Asked) -> str:
    return str(asked.request.path_params["kind"]).removesuffix("s")


def _model(asked: Asked) -> Any:
    return _MODELS[str(asked.request.path_params["kind"])]


def _id(asked: Asked) -> str:
    return str(asked.request.path_params["id"])
