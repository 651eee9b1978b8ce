"""People and groups that another system provisions by SCIM, as rows: functions over one transaction (RFC 7643).

A resource of SCIM is a principal or a group of the tenant, and a row beside it with what SCIM knows further.
Only what came by SCIM is seen and changed here: a local administrator is out of a provisioner's reach.
The name of a principal is given once; a userName that changes later is kept beside it, so that what was recorded of
somebody stays theirs.
What a provisioner says about roles and entitlements is kept and shown, and gives nothing: groups give roles, by rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from scim2_models import (
    EnterpriseUser,
    Group,
    GroupMember,
    GroupMembership,
    InvalidValueException,
    Meta,
    NotFoundException,
    PatchOp,
    PreconditionFailedException,
    Reference,
    UniquenessException,
    User,
)
from sqlalchemy import delete, insert, select, update

from altar.adm.errors import ValidationError
from altar.aesp.identity.scim_groups import Members, groups_of, members_of, read_members, remap, write_members
from altar.aesp.identity.sync import MARK
from altar.aesp.store import people
from altar.aesp.store.tables import scim_resources as table

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from altar.aesp.identity.provisioning import MapGroups

__all__ = ["PROVIDER", "Resource", "Roster", "ScimGroup", "ScimUser", "kind_of"]

PROVIDER = "scim"
"""Under this name groups of a provisioner stand beside those of other providers."""

SOURCE = f"provider:{PROVIDER}"

ScimUser = User[EnterpriseUser]
ScimGroup = Group
Resource: TypeAlias = Any
"""A `ScimUser` or a `ScimGroup`."""

_LARGEST = 32 * 1024
_OURS = ("id", "meta", "groups", "members", "password")
_SHOWN = "$displays"


@dataclass(frozen=True, slots=True)
class Roster:
    """Creates, reads and changes resources of one tenant at a time.

    ``links`` names the provider of identity whose subjects the provisioner gives as ``externalId``: who is provisioned
    may then sign in there. ``now`` is in seconds since 1970; ``base`` is the address before ``/Users``.
    """

    base: str
    now: Callable[[], float]
    new_id: Callable[[], str]
    map_groups: MapGroups | None = None
    links: str = ""

    def get(self, connection: Connection, *, tenant: str, kind: str, id: str) -> Resource:
        """Read one; NotFoundException, in the same words for the id of another tenant."""
        return self.resource_of(connection, self._row(connection, tenant, kind, id))

    def create(self, connection: Connection, *, tenant: str, resource: Resource) -> Resource:
        """Add a resource, and the principal or group that it is.

        Raises UniquenessException when there is one of that name, InvalidValueException for a name that is none or a
        member that is not there.
        """
        kind, now_ms, id = kind_of(resource), self._now_ms(), self.new_id()
        called = _called(resource)
        self._require_free(connection, tenant, kind, called, but="")
        try:
            name = self._make(connection, tenant, resource, now_ms)
        except ValidationError as error:
            raise _as_scim(error) from error
        connection.execute(
            insert(table).values(
                tenant=tenant,
                id=id,
                kind=kind,
                name=name,
                called=called,
                external_id=_external(resource),
                data=_data(resource),
                version=1,
                created_ms=now_ms,
                changed_ms=now_ms,
            )
        )
        self._link(connection, tenant, resource, name, now_ms)
        if kind == "Group":
            self._write_members(connection, tenant, name, resource)
        return self.get(connection, tenant=tenant, kind=kind, id=id)

    def replace(
        self, connection: Connection, *, tenant: str, kind: str, id: str, resource: Resource, match: str | None
    ) -> Resource:
        """Put another state in the place of a resource (RFC 7644 §3.5.1)."""
        row = self._row(connection, tenant, kind, id)
        _require_version(row, match)
        original = self.resource_of(connection, row)
        resource.replace(original)
        return self._write(connection, row, original, resource)

    def patch(
        self, connection: Connection, *, tenant: str, kind: str, id: str, patch: PatchOp[Any], match: str | None
    ) -> Resource:
        """Change parts of a resource, all or none of them (RFC 7644 §3.5.2)."""
        row = self._row(connection, tenant, kind, id)
        _require_version(row, match)
        original = self.resource_of(connection, row)
        changed = self.resource_of(connection, row)
        if not patch.patch(changed):
            return original
        return self._write(connection, row, original, changed)

    def delete(self, connection: Connection, *, tenant: str, kind: str, id: str, match: str | None) -> None:
        """Remove a resource and the principal or group that it is, with all it could do."""
        row = self._row(connection, tenant, kind, id)
        _require_version(row, match)
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.id == id))
        if kind == "User":
            people.delete_principal(connection, tenant=tenant, name=row.name)
            return
        before = members_of(connection, tenant=tenant, group=row.name, source=SOURCE)
        people.delete_group(connection, tenant=tenant, name=row.name)
        self._remap(connection, tenant, before)

    def rows(
        self, connection: Connection, *, tenant: str, kind: str, like: dict[str, str], offset: int = 0, limit: int
    ) -> tuple[int, list[Row[Any]]]:
        """Count and read rows in the order of their making; ``like`` is what columns must be."""
        from sqlalchemy import func

        where = (table.c.tenant == tenant) & (table.c.kind == kind)
        for column, value in like.items():
            where &= table.c[column] == value
        total = connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
        asked = select(table).where(where).order_by(table.c.created_ms, table.c.id).offset(offset).limit(limit)
        return int(total), list(connection.execute(asked))

    def resource_of(self, connection: Connection, row: Row[Any]) -> Resource:
        """Make the resource of a row, with what the tenant's own tables say of it."""
        model: Any = ScimUser if row.kind == "User" else ScimGroup
        said = json.loads(row.data)
        shown: dict[str, str] = said.pop(_SHOWN, {})
        resource = model.model_validate(said)
        resource.id = row.id
        resource.external_id = row.external_id
        if row.kind == "User":
            person = people.find_principal(connection, tenant=row.tenant, name=row.name)
            if resource.active is not None or not person.active:
                resource.active = bool(person.active)
            resource.groups = [
                GroupMembership(value=id, display=display, ref=_reference(f"{self.base}/Groups/{id}"), type="direct")
                for id, display in groups_of(connection, tenant=row.tenant, principal=row.name, source=SOURCE)
            ] or None
        else:
            resource.members = [
                GroupMember(
                    value=id, display=shown.get(id, display), ref=_reference(f"{self.base}/{kind}s/{id}"), type=kind
                )
                for kind, id, display in read_members(connection, tenant=row.tenant, group=row.name, source=SOURCE)
            ] or None
        resource.meta = Meta(
            resource_type=row.kind,
            created=_time(row.created_ms),
            last_modified=_time(row.changed_ms),
            location=f"{self.base}/{row.kind}s/{row.id}",
            version=f'W/"{row.version}"',
        )
        return resource

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    def _row(self, connection: Connection, tenant: str, kind: str, id: str) -> Row[Any]:
        asked = select(table).where(table.c.tenant == tenant, table.c.id == id[:64], table.c.kind == kind)
        found = connection.execute(asked).one_or_none()
        if found is None:
            raise NotFoundException(detail="There is no such resource")
        return found

    def _make(self, connection: Connection, tenant: str, resource: Resource, now_ms: int) -> str:
        if kind_of(resource) == "User":
            name = _principal_name(resource)
            columns = _columns(resource)
            attributes = {} if columns["active"] else {MARK: SOURCE}
            people.create_principal(
                connection, tenant=tenant, name=name, now_ms=now_ms, source=SOURCE, attributes=attributes, **columns
            )
            return name
        from altar.aesp.identity.provisioning import group_name

        display = str(resource.display_name)
        name = group_name(PROVIDER, display)
        people.create_group(connection, tenant=tenant, name=name, now_ms=now_ms, display=display[:256], source=SOURCE)
        return name

    def _write(self, connection: Connection, row: Row[Any], original: Resource, resource: Resource) -> Resource:
        tenant, now_ms, name = row.tenant, self._now_ms(), row.name
        called = _called(resource)
        self._require_free(connection, tenant, row.kind, called, but=row.id)
        try:
            if row.kind == "User":
                self._write_person(connection, tenant, name, _columns(resource), now_ms)
            elif str(resource.display_name) != str(original.display_name):
                name = self._rename(connection, row, resource, now_ms)
        except ValidationError as error:
            raise _as_scim(error) from error
        values = {"name": name, "called": called, "external_id": _external(resource), "data": _data(resource)}
        where = (table.c.tenant == tenant) & (table.c.id == row.id)
        connection.execute(update(table).where(where).values(version=row.version + 1, changed_ms=now_ms, **values))
        if row.kind == "Group":
            self._write_members(connection, tenant, name, resource)
        elif _external(resource) != row.external_id:
            self._link(connection, tenant, resource, name, now_ms)
        return self.get(connection, tenant=tenant, kind=row.kind, id=row.id)

    def _write_person(
        self, connection: Connection, tenant: str, name: str, columns: dict[str, Any], now_ms: int
    ) -> None:
        """Write a person; whom somebody else deactivated stays so, because only they give the access back."""
        row = people.find_principal(connection, tenant=tenant, name=name)
        attributes: dict[str, str] = json.loads(row.attributes)
        if not columns["active"] and row.active:
            attributes[MARK] = SOURCE
            columns["not_before_ms"] = now_ms  # tokens of before stay worthless, also when it is undone
        elif columns["active"] and not row.active:
            columns["active"] = attributes.pop(MARK, "") == SOURCE
        people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, **columns, attributes=attributes)

    def _rename(self, connection: Connection, row: Row[Any], resource: Resource, now_ms: int) -> str:
        """Give a group another name: a new group without the bindings of the old one, which belonged to its name."""
        before = members_of(connection, tenant=row.tenant, group=row.name, source=SOURCE)
        name = self._make(connection, row.tenant, resource, now_ms)
        connection.execute(update(table).where(table.c.tenant == row.tenant, table.c.id == row.id).values(name=name))
        people.delete_group(connection, tenant=row.tenant, name=row.name)
        self._remap(connection, row.tenant, before)
        return name

    def _write_members(self, connection: Connection, tenant: str, group: str, resource: Resource) -> None:
        wanted = Members.of(connection, tenant=tenant, ids=[str(member.value) for member in resource.members or ()])
        try:
            touched = write_members(connection, tenant=tenant, group=group, wanted=wanted, source=SOURCE)
        except ValidationError as error:
            raise _as_scim(error) from error
        self._remap(connection, tenant, touched)

    def _remap(self, connection: Connection, tenant: str, principals: Iterable[str]) -> None:
        if self.map_groups is not None:
            remap(
                connection,
                tenant=tenant,
                principals=principals,
                provider=PROVIDER,
                source=SOURCE,
                map_groups=self.map_groups,
            )

    def _link(self, connection: Connection, tenant: str, resource: Resource, name: str, now_ms: int) -> None:
        """Let the provider's subject be this principal, and no other subject of it."""
        from altar.aesp.store.tables import external_ids

        if not self.links or kind_of(resource) != "User":
            return
        ours = (external_ids.c.tenant == tenant) & (external_ids.c.provider == self.links)
        connection.execute(delete(external_ids).where(ours, external_ids.c.principal == name))
        subject = _external(resource)
        if subject is not None:
            try:
                people.link_external(
                    connection, tenant=tenant, provider=self.links, subject=subject, principal=name, now_ms=now_ms
                )
            except ValidationError as error:
                raise UniquenessException(detail="The externalId belongs to another user") from error

    def _require_free(self, connection: Connection, tenant: str, kind: str, called: str, *, but: str) -> None:
        asked = select(table.c.id).where(table.c.tenant == tenant, table.c.kind == kind, table.c.called == called)
        if connection.execute(asked.where(table.c.id != but)).first() is not None:
            raise UniquenessException(detail=f"There is a {kind} of that name already")

    def _now_ms(self) -> int:
        return int(self.now() * 1000)


def kind_of(resource: Resource) -> str:
    """Give ``User`` or ``Group``."""
    return "User" if isinstance(resource, User) else "Group"


def _reference(address: str) -> Any:
    return Reference(address)


def _called(resource: Resource) -> str:
    text = resource.user_name if kind_of(resource) == "User" else resource.display_name
    if not text or not str(text).strip() or len(str(text)) > 256 or not str(text).isprintable():
        raise InvalidValueException(detail="A name has 1 to 256 characters that can be printed")
    # RFC 7643 §4.1.1: userName is compared without case; a displayName of a group is a name of its own in each spelling
    return str(text).casefold() if kind_of(resource) == "User" else str(text)


def _principal_name(resource: Resource) -> str:
    name = str(resource.user_name).strip().lower()
    if not str(resource.user_name).isascii():  # in lower case some of the others would become such letters
        raise InvalidValueException(detail="A userName has letters, digits and . _ @ + - and no others")
    if ":" in name:  # names with a colon are those of service accounts and certificates
        raise InvalidValueException(detail="A userName has no colon")
    return name


def _columns(resource: Resource) -> dict[str, Any]:
    emails = [email for email in resource.emails or () if email.value]
    email = next((each for each in emails if each.primary), emails[0] if emails else None)
    display = resource.display_name or (resource.name.formatted if resource.name else "") or ""
    return {
        "display": str(display)[:256].replace("\0", ""),
        "email": str(email.value)[:320] if email else "",
        "active": resource.active is not False,
    }


def _external(resource: Resource) -> str | None:
    text = resource.external_id
    if text is not None and (len(text) > 512 or not text.isprintable()):
        raise InvalidValueException(detail="An externalId has at most 512 characters that can be printed")
    return str(text) if text else None


def _data(resource: Resource) -> str:
    kept = resource.model_dump()
    for name in _OURS:
        kept.pop(name, None)
    members = [] if kind_of(resource) == "User" else resource.members or []
    shown = {str(member.value): str(member.display) for member in members if member.display}
    text = json.dumps(kept | {_SHOWN: shown}, ensure_ascii=False, sort_keys=True)
    if len(text) > _LARGEST:  # names that members are shown by are the first to be given up
        text = json.dumps(kept, ensure_ascii=False, sort_keys=True)
    if len(text) > _LARGEST:
        raise InvalidValueException(detail=f"A resource has at most {_LARGEST} characters")
    return text


def _require_version(row: Row[Any], match: str | None) -> None:
    if match is not None and not matches(match, f'W/"{row.version}"'):
        raise PreconditionFailedException(detail="The resource has changed meanwhile")


def matches(header: str, version: str) -> bool:
    """Whether an If-Match or If-None-Match header covers a version (RFC 9110 §13.1)."""
    told = {each.strip() for each in header.split(",")}
    return "*" in told or version in told or version.removeprefix("W/") in told


def _as_scim(error: ValidationError) -> Exception:
    if error.code == "RESOURCE_CONFLICT":
        return UniquenessException(detail=error.message)
    if error.code == "UNKNOWN_RESOURCE":
        return InvalidValueException(detail=error.message)
    return InvalidValueException(detail=error.message)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)
