"""Asking a host how a request for approval stands, one question at a time; it answers when that is decided."""

from __future__ import annotations

from typing import Any

import grpc.aio

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import TransportError
from altar.grid.status import error_of_rpc
from altar.later.approvals import Approval

__all__ = ["approval_at"]

_METHOD = "/altar.grid.v1.HostService/AwaitApproval"
_MORE_SECONDS = 10.0
_STATES = {number: name.removeprefix("APPROVAL_STATE_") for name, number in host_pb2.ApprovalState.items() if number}


async def approval_at(
    channel: grpc.aio.Channel | None, handle: str, *, credential: bytes, seconds: float, tell_call: bool
) -> Approval:
    """How the request stands, as soon as it is decided, or after about so many seconds.

    Raises what the host refuses it with; CONNECTION_FAILED when there is none, PROTOCOL_VIOLATION for an answer that
    says nothing.
    """
    if channel is None:
        raise TransportError("CONNECTION_FAILED", "The session has no connection", ran="no")
    ask: Any = channel.unary_unary(
        _METHOD,
        request_serializer=host_pb2.AwaitApprovalRequest.SerializeToString,
        response_deserializer=host_pb2.AwaitApprovalResponse.FromString,
    )
    request = host_pb2.AwaitApprovalRequest(handle=handle, wait_ms=int(seconds * 1000), tell_call=tell_call)
    metadata = (("authorization", f"Bearer {credential.decode()}"),) if credential else ()
    try:
        told = await ask(request, metadata=metadata, timeout=seconds + _MORE_SECONDS)
    except grpc.aio.AioRpcError as failed:
        raise error_of_rpc(failed, ran="no") from failed
    state = _STATES.get(told.state)
    if state is None:
        raise TransportError("PROTOCOL_VIOLATION", "The host did not say how the request stands", ran="no")
    return Approval(state, told.name, told.version, told.args)
