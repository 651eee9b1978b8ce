"""One way for every method of administration: who asks, may they, do it, record it, answer.

A service is an object with one coroutine for each method of its descriptor; it gets the request and an `Asked`.
What is refused is recorded like what was done; the record is durable before the answer.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import grpc
import grpc.aio
from google.protobuf import message_factory

from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, ValidationError
from altar.aesp.control_plane import principal_of, require_active
from altar.aesp.identity.service_accounts import SERVICE
from altar.aesp.service.permissions import METHODS, Access, Rule
from altar.grid import wire
from altar.grid.host.callers import bearer_of
from altar.grid.status import abort

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from altar.aesp.callers import PrincipalCallers
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac
    from altar.aesp.refusals import Refusals
    from altar.grid.trust.certificates import Identity

__all__ = ["Administration", "Asked", "Came", "Deed", "Record", "ServiceOf"]

_log = logging.getLogger("altar.aesp")

PACKAGE = "altar.aesp.v1"
_LONGEST = 128
_REFUSALS = 120
"""Refused requests of one caller that are recorded one by one in a minute; the rest is counted in one entry."""
_MINUTE = 60.0
_PEOPLE = frozenset({"principals", "service-accounts"})

Context = grpc.aio.ServicerContext[Any, Any]
Record = Callable[["Deed"], Awaitable[None]]
"""Makes the record of a deed durable; raises when it cannot, and then nobody is told that it was done."""


class ServiceOf(Protocol):
    """An implementation of one service of the descriptor."""

    @property
    def descriptor(self) -> ServiceDescriptor:
        """Which one."""
        ...


@dataclass(frozen=True, slots=True)
class Came:
    """How a request came: the certificate of its connection, its metadata, and gRPC's word for the other end."""

    identity: Identity
    metadata: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, for which tenant, from where.

    ``who`` is None only for methods that are open, by which somebody proves who they are.
    ``tenant`` is the one that the request is about, which the asker may act in.
    """

    who: Principal | None
    tenant: str
    address: str
    identity: Identity

    @property
    def principal(self) -> Principal:
        """Who asks; INVALID_CREDENTIALS when nobody has proved to be anybody."""
        return principal_of(self.who)

    def name_of(self, principal_id: str) -> str:
        """The name in the tenant that an id or a name means.

        The id of another tenant is a name that nobody here can have, so that it is looked for and not found like any
        name that is absent.
        """
        return principal_id.removeprefix(f"{self.tenant}/")


@dataclass(frozen=True, slots=True)
class Deed:
    """What was asked for, by whom, and how it ended; for the record. No secret and no answer is in it.

    ``about`` is the id of the principal that it was done to, which the record has by its pseudonym; ``resource`` is
    then the kind alone, as it is where somebody is named who is not there.
    """

    event: str
    tenant: str
    principal: str
    action: str
    resource: str
    outcome: Literal["SUCCESS", "DENIED", "FAILURE"]
    code: str = ""
    correlation: str = ""
    about: str = ""


class Administration:
    """Serves the methods of some services by the table of permissions.

    ``identify`` reads the certificate of a connection; ``record`` makes a deed durable; ``clock`` is monotonic.
    """

    def __init__(
        self,
        services: Sequence[ServiceOf],
        *,
        callers: PrincipalCallers,
        directory: Directory,
        rbac: Rbac,
        refusals: Refusals,
        record: Record,
        operator_tenant: str,
        clock: Callable[[], float],
    ) -> None:
        """Join each method with its row; RuntimeError for one that lacks either."""
        self._callers = callers
        self._directory = directory
        self._rbac = rbac
        self._refusals = refusals
        self._record = record
        self._operator = operator_tenant
        self._clock = clock
        self._refused: Counter[str] = Counter()
        self._refused_since = clock()
        self._methods = {
            f"{service.descriptor.name}/{method.name}": (service, method)
            for service in services
            for method in service.descriptor.methods
        }
        without = sorted(self._methods.keys() - METHODS.keys())
        unknown = sorted(METHODS.keys() - self._methods.keys())
        missing = [name for name, (service, method) in self._methods.items() if not hasattr(service, _snake(method))]
        if without or unknown or missing:
            raise RuntimeError(
                f"methods without a permission {without}, of no service {unknown}, not written {missing}"
            )

    def handlers(self, identify: Callable[[Context], Awaitable[Identity]]) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to serve them; ``identify`` ends a request whose certificate is not of this grid."""
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for name in self._methods:
            short, _, method = name.partition("/")
            by_service.setdefault(short, {})[method] = self._handler(name, identify)
        return tuple(
            grpc.method_handlers_generic_handler(f"{PACKAGE}.{short}", methods) for short, methods in by_service.items()
        )

    async def answer(self, name: str, request: Any, came: Came) -> Any:
        """Carry out ``Service/Method``: the answer, or the list of its parts.

        Raises what it is refused with, which has been recorded, as has what was done.
        """
        service, method = self._methods[name]
        rule, carry_out = METHODS[name], getattr(service, _snake(method))
        deed, resource, named = Deed(rule.event, "", "", rule.action, rule.kind, "DENIED"), rule.kind, ""
        try:
            crowded = wire.crowded(request)
            if crowded is not None:
                raise crowded
            asked = self._ask(rule, request, came)
            if asked.who is not None:
                # in the log of the asker, until it is sure that there is another tenant and it may act there
                resource, named = _resource(rule, request, asked), _principal_named(rule, request, asked)
                about = self._known(named) if asked.tenant == asked.who.tenant else ""
                recorded = rule.kind if _names_somebody(rule) else resource
                deed = replace(deed, tenant=asked.who.tenant, principal=asked.who.id, resource=recorded, about=about)
            self._authorize(rule, asked, resource)
            if rule.access is Access.TENANT:
                deed = replace(deed, tenant=asked.tenant, outcome="FAILURE", about=self._known(named))
            answer = await _answered(carry_out, asked, request)
        except AltarError as refused:
            if isinstance(refused, AuthorizationError):
                deed = replace(deed, outcome="DENIED")
            await self._record_refusal(replace(deed, code=refused.code))
            raise
        about = named if _makes_somebody(rule) else deed.about or self._known(named)
        await self._record(replace(deed, outcome="SUCCESS", about=about))
        return answer

    def _handler(
        self, name: str, identify: Callable[[Context], Awaitable[Identity]]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        _, method = self._methods[name]
        request, response = map(message_factory.GetMessageClass, (method.input_type, method.output_type))

        async def carried_out(asked_for: Any, context: Context) -> Any:
            identity = await identify(context)
            came = Came(identity, tuple(context.invocation_metadata() or ()), context.peer())
            try:
                return await self.answer(name, asked_for, came)
            except AltarError as refused:
                await abort(context, refused)

        async def stream(asked_for: Any, context: Context) -> AsyncIterator[Any]:
            for part in await carried_out(asked_for, context):
                yield part

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, request.FromString, response.SerializeToString)
        return grpc.unary_unary_rpc_method_handler(carried_out, request.FromString, response.SerializeToString)

    def _ask(self, rule: Rule, request: Any, came: Came) -> Asked:
        """Who asks, and for which tenant."""
        address = _address(came.peer)
        if rule.access is Access.OPEN:
            return Asked(None, "", address, came.identity)
        caller = self._callers.of(bearer_of(came.metadata), came.identity)
        who = principal_of(caller.require().who)
        require_active(self._directory, who)
        wanted = str(getattr(request, "tenant_id", "") or who.tenant)
        return Asked(who, wanted, address, came.identity)

    def _authorize(self, rule: Rule, asked: Asked, resource: str) -> None:
        """Raise unless the asker may do this here.

        A tenant that is not the asker's own is one that does not exist, unless the asker is the operator's.
        """
        if rule.access in {Access.OPEN, Access.OWN}:
            return
        who = asked.principal
        is_operator = who.tenant == self._operator
        if rule.access is Access.OPERATOR and not is_operator:
            raise AuthorizationError(
                "PERMISSION_DENIED",
                "Only the operator of the host may do this",
                ran="no",
                hint="ask the operator of the host",
            )
        self._rbac.require(who, resource=resource, action=rule.action)
        is_there = is_operator and self._directory.tenant(asked.tenant) is not None
        if rule.access is Access.TENANT and asked.tenant != who.tenant and not is_there:
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                f"There is no tenant {asked.tenant[:80]!r}",
                ran="no",
                hint="leave it out for your own",
            )

    def _known(self, principal_id: str) -> str:
        """The id if there is such a principal, else nothing: whoever is not there is given no pseudonym."""
        return principal_id if principal_id and self._directory.principal(principal_id) is not None else ""

    async def _record_refusal(self, deed: Deed) -> None:
        now = self._clock()
        if now - self._refused_since >= _MINUTE:
            self._refused.clear()
            self._refused_since = now
        self._refused[deed.principal] += 1
        if self._refused[deed.principal] <= _REFUSALS:
            await self._record(deed)
        else:
            self._refusals.denied(
                tenant=deed.tenant, principal=deed.principal, code=deed.code, resource=deed.resource, action=deed.action
            )


async def _answered(carry_out: Callable[[Asked, Any], Awaitable[Any]], asked: Asked, request: Any) -> Any:
    """The answer; a failure that is nobody's but ours says no more than that."""
    try:
        return await carry_out(asked, request)
    except AltarError:
        raise
    except Exception as failed:
        _log.exception("administration failed", extra={"method": getattr(carry_out, "__name__", "")})
        raise ExecutionError(
            "INTERNAL",
            "The request could not be carried out",
            hint="this is a defect of ALTAR; the log of the host has the details",
            detail=f"{type(failed).__name__}: {failed}",
        ) from failed


def _resource(rule: Rule, request: Any, asked: Asked) -> str:
    name = asked.name_of(str(getattr(request, rule.field, ""))) if rule.field else ""
    plain = "".join(letter if "!" <= letter <= "~" else "?" for letter in name[:_LONGEST])
    return f"{rule.kind}/{plain}" if plain else rule.kind


def _names_somebody(rule: Rule) -> bool:
    """Whether a request names a principal, whose name is not for the record."""
    return rule.field == "principal_id" or _makes_somebody(rule)


def _makes_somebody(rule: Rule) -> bool:
    return rule.action == "create" and rule.kind in _PEOPLE


def _principal_named(rule: Rule, request: Any, asked: Asked) -> str:
    """The id of the principal that a request names, whether or not it is there; empty when it names none."""
    name = asked.name_of(str(getattr(request, rule.field, ""))) if _names_somebody(rule) else ""
    if not name:
        return ""
    begins = SERVICE if rule.kind == "service-accounts" and not name.startswith(SERVICE) else ""
    return f"{asked.tenant}/{begins}{name}"


def _address(peer: str) -> str:
    """The network address in gRPC's word for a peer, such as ``ipv4:127.0.0.1:4711``."""
    kind, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if kind in {"ipv4", "ipv6"} else peer[:_LONGEST]


def _snake(method: MethodDescriptor) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method.name).lower()
