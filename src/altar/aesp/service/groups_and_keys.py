"""EnterpriseIdentityService, the other half: groups and API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from altar._proto.altar.aesp.v1 import identity_pb2 as pb
from altar.aesp.administrators import administrator_kept
from altar.aesp.governance.owners import note_holder
from altar.aesp.service import messages
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.aesp.store import people

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.service.administration import Asked
    from altar.aesp.service.managers import Managers

__all__ = ["GroupsAndKeys"]

_LONGEST_OVERLAP = 30 * 24 * 3600


class GroupsAndKeys:
    """Groups and keys of a tenant."""

    def __init__(self, managers: Managers) -> None:
        self._with = managers

    # ------------------------------------------------------------------------------------------------------- keys

    async def create_api_key(self, asked: Asked, request: pb.CreateApiKeyRequest) -> pb.CreateApiKeyResponse:
        """A new key of a principal, told once."""
        name = asked.name_of(request.principal_id)
        self._with.reach.require_key(asked.principal, name, tenant=asked.tenant, scopes=list(request.scopes) or None)
        new = await self._with.keys.create(
            f"{asked.tenant}/{name}",
            tenant=asked.tenant,
            description=request.description,
            scopes=request.scopes or None,
            expires_ms=request.expires_ms or None,
        )
        await self._note_holder(asked, name)
        return pb.CreateApiKeyResponse(key=messages.key(new.key), api_key=new.text)

    async def list_api_keys(self, asked: Asked, request: pb.ListApiKeysRequest) -> pb.ListApiKeysResponse:
        """The keys of a tenant or of one principal, without their secrets, a page of them."""
        limit = limit_of(request.limit)
        name = asked.name_of(request.principal_id)
        found = await self._with.keys.listed(
            tenant=asked.tenant,
            principal=f"{asked.tenant}/{name}" if name else "",
            after=after(request.cursor),
            limit=limit,
        )
        cursor = next_cursor(found, limit, lambda key: key.id)
        return pb.ListApiKeysResponse(keys=map(messages.key, found), next_cursor=cursor)

    async def rotate_api_key(self, asked: Asked, request: pb.RotateApiKeyRequest) -> pb.RotateApiKeyResponse:
        """A key in the place of another, which goes on for a while."""
        old = await self._with.keys.show(request.key_id, tenant=asked.tenant)
        name = old.principal.partition("/")[2]
        self._with.reach.require_key(asked.principal, name, tenant=asked.tenant, scopes=old.scopes)
        overlap = min(request.overlap_seconds, _LONGEST_OVERLAP)
        new = await self._with.keys.rotate(request.key_id, tenant=asked.tenant, overlap_seconds=overlap)
        await self._note_holder(asked, name)
        return pb.RotateApiKeyResponse(key=messages.key(new.key), api_key=new.text)

    async def revoke_api_key(self, asked: Asked, request: pb.RevokeApiKeyRequest) -> pb.RevokeApiKeyResponse:
        """End a key at once."""
        await self._with.keys.revoke(request.key_id, tenant=asked.tenant)
        return pb.RevokeApiKeyResponse()

    async def _note_holder(self, asked: Asked, name: str) -> None:
        """Note that the asker has seen a key of an account, or made it, and so approves nothing that it asks for."""
        who, tenant, now_ms = asked.principal, asked.tenant, self._with.now_ms

        def work(connection: Connection) -> None:
            note_holder(connection, who, name, tenant=tenant, now_ms=now_ms)

        await self._with.store.run(work, tenant=tenant)

    # ----------------------------------------------------------------------------------------------------- groups

    async def create_group(self, asked: Asked, request: pb.CreateGroupRequest) -> pb.CreateGroupResponse:
        """Add a group with nobody in it."""
        tenant, now_ms = asked.tenant, self._with.now_ms

        def work(connection: Connection) -> Any:
            people.create_group(connection, tenant=tenant, name=request.name, now_ms=now_ms, display=request.display)
            return people.find_group(connection, tenant=tenant, name=request.name)

        return pb.CreateGroupResponse(group=messages.group(await self._with.store.run(work, tenant=tenant)))

    async def list_groups(self, asked: Asked, request: pb.ListGroupsRequest) -> pb.ListGroupsResponse:
        """The groups of a tenant by name, a page of them, without their members."""
        limit, behind = limit_of(request.limit), after(request.cursor)

        def work(connection: Connection) -> list[Any]:
            return people.list_groups(connection, tenant=asked.tenant, after=behind, limit=limit)

        rows = await self._with.store.run(work, tenant=asked.tenant, reads=True)
        cursor = next_cursor(rows, limit, lambda row: str(row.name))
        return pb.ListGroupsResponse(groups=map(messages.group, rows), next_cursor=cursor)

    async def get_group(self, asked: Asked, request: pb.GetGroupRequest) -> pb.GetGroupResponse:
        """One group with the names in it."""

        def work(connection: Connection) -> Any:
            row = people.find_group(connection, tenant=asked.tenant, name=request.name)
            return messages.group(row, people.members_of(connection, tenant=asked.tenant, group=request.name))

        return pb.GetGroupResponse(group=await self._with.store.run(work, tenant=asked.tenant, reads=True))

    async def change_group_members(
        self, asked: Asked, request: pb.ChangeGroupMembersRequest
    ) -> pb.ChangeGroupMembersResponse:
        """Put principals into a group and take others out; what providers say of it is not touched."""
        tenant, name = asked.tenant, request.name
        add, remove = set(map(asked.name_of, request.add)), set(map(asked.name_of, request.remove))
        if add:
            self._with.reach.require_group(asked.principal, name, tenant=tenant)

        def work(connection: Connection) -> Any:
            row = people.find_group(connection, tenant=tenant, name=name)
            now = set(people.members_of(connection, tenant=tenant, group=name, source="local"))
            with administrator_kept(connection, tenant=tenant):
                wanted = (now | add) - remove
                people.set_members(connection, tenant=tenant, group=name, principals=wanted, source="local")
            return messages.group(row, people.members_of(connection, tenant=tenant, group=name))

        return pb.ChangeGroupMembersResponse(group=await self._with.store.run(work, tenant=tenant))

    async def delete_group(self, asked: Asked, request: pb.DeleteGroupRequest) -> pb.DeleteGroupResponse:
        """Remove a group; its members lose what it gave them."""

        def work(connection: Connection) -> None:
            with administrator_kept(connection, tenant=asked.tenant):
                people.delete_group(connection, tenant=asked.tenant, name=request.name)

        await self._with.store.run(work, tenant=asked.tenant)
        return pb.DeleteGroupResponse()
