"""Sign-in against LDAP or Active Directory: a name and a password go in, a login with nested groups comes out.

The entry is searched for with the operator's own account, then the person's password is tried with a bind.
What was typed is a value in a filter and never a part of its syntax (`ldap_wire`).
Groups count only below the provider's ``group_base``; each is named by its path there, such as ``admins``, or
``london/admins`` for a group of that name in the unit ``london``, so that no two groups share a name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.aesp.identity.ldap_connection import Entry, LdapAddress, LdapConnection, RefusedBindError
from altar.aesp.identity.ldap_names import below, group_name
from altar.aesp.identity.ldap_wire import And, Equal, Filter, Matches, Or, parse_filter
from altar.aesp.identity.login import MAX_GROUPS, Credential, Login, not_accepted

__all__ = ["LdapConfiguration", "LdapKind", "LdapProvider", "Nesting", "is_active", "subject_of"]

IN_CHAIN = "1.2.840.113556.1.4.1941"
"""Active Directory's rule for membership through other groups."""

_DISABLED, _LOCKED, _EXPIRED = 0x2, 0x10, 0x800000
_NEVER = 0x7FFFFFFFFFFFFFFF
_SECONDS_TO_1970 = 11_644_473_600
_LONGEST_NAME = 256
_DEEPEST = 16
_AT_ONCE = 16


class LdapKind(StrEnum):
    """Which kind of directory it is: its attributes differ."""

    LDAP = "ldap"
    ACTIVE_DIRECTORY = "active_directory"


class Nesting(StrEnum):
    """How groups within groups are found.

    ``MEMBER_OF``: the directory itself gives all of them in ``memberOf`` (slapd with dynlist).
    ``CHAIN``: by Active Directory's matching rule.
    ``MEMBERS``: by asking for the groups of groups, up to 16 deep.
    """

    MEMBER_OF = "member_of"
    CHAIN = "chain"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class LdapConfiguration:
    """One directory: where it is, whom it serves, and where people and groups stand in it.

    ``tenant`` is the one tenant whose people these are.
    ``bind_dn`` and ``bind_password`` belong to an account that may only search.
    ``person_filter`` is an operator's filter in the form of RFC 4515, joined to every search for people.
    ``seconds`` bounds each step with the directory, ``limit`` the entries of one search.
    """

    name: str
    tenant: str
    address: LdapAddress
    bind_dn: str
    bind_password: str = field(repr=False)
    base: str = ""
    group_base: str = ""
    kind: LdapKind = LdapKind.LDAP
    nesting: Nesting = Nesting.MEMBER_OF
    person_filter: str = ""
    login_attributes: tuple[str, ...] = ()
    seconds: float = 10.0
    limit: int = 100_000

    @property
    def logins(self) -> tuple[str, ...]:
        """The attributes that a typed name is compared with; the first gives a principal its name."""
        if self.login_attributes:
            return self.login_attributes
        return ("sAMAccountName", "userPrincipalName") if self.is_active_directory else ("uid",)

    @property
    def is_active_directory(self) -> bool:
        """Whether it has Active Directory's attributes."""
        return self.kind is LdapKind.ACTIVE_DIRECTORY

    @property
    def person_attributes(self) -> tuple[str, ...]:
        """What is read of a person."""
        names = (*self.logins, "displayName", "cn", "mail", "memberOf")
        if self.is_active_directory:
            control = "msDS-User-Account-Control-Computed"  # worked out by the directory: locked, or password expired
            return (*names, "objectGUID", "userAccountControl", control, "accountExpires")
        return (*names, "entryUUID", "pwdAccountLockedTime")

    def people(self) -> Filter:
        """The filter for all people that this provider knows; ConfigurationError INVALID_CONFIG for a bad one."""
        kind = "user" if self.is_active_directory else "inetOrgPerson"
        text = self.person_filter or f"(objectClass={kind})"
        try:
            found = parse_filter(text)
        except ValueError as error:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"{text[:200]!r} of provider {self.name!r} is no filter: {error}",
                hint="write it as RFC 4515 does, such as (objectClass=person)",
            ) from error
        if self.is_active_directory:
            return And((found, Equal("objectCategory", "person")))
        return found

    @property
    def group_classes(self) -> Filter:
        """The filter for groups."""
        if self.is_active_directory:
            return Equal("objectClass", "group")
        return Or((Equal("objectClass", "groupOfNames"), Equal("objectClass", "groupOfUniqueNames")))


class LdapProvider:
    """A `Provider` for names and passwords; ``clock`` gives seconds since 1970."""

    def __init__(self, configuration: LdapConfiguration, *, clock: Callable[[], float]) -> None:
        """Check the configuration; nothing is asked yet."""
        self.configuration = configuration
        self._people = configuration.people()
        self._clock = clock
        self._room = asyncio.Semaphore(_AT_ONCE)
        configuration.address.parts()

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self.configuration.name

    def connection(self) -> LdapConnection:
        """A connection to enter with ``async with``; it is bound to nobody yet."""
        return LdapConnection(self.configuration.address, seconds=self.configuration.seconds)

    async def authenticate(self, credential: Credential) -> Login:
        """Say who this name and password belong to.

        Raises AuthorizationError INVALID_CREDENTIALS in the same words whether the name, the password or the account
        was wrong, after the same steps; ExecutionError DEPENDENCY_UNAVAILABLE when the directory cannot be asked.
        """
        if credential.tenant and credential.tenant != self.configuration.tenant:
            raise not_accepted(f"provider {self.name} serves another tenant")
        name = credential.name
        if not credential.secret or not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise not_accepted("a name or a password is missing or has characters of control")
        async with self._room, self.connection() as connection:
            await self.bind(connection)
            entry = await self._find(connection, name)
            groups = () if entry is None else await self._groups(connection, entry)
        async with self._room, self.connection() as connection:
            await self._prove(connection, entry, credential.secret)
        if entry is None:
            raise not_accepted("the directory has no such person, or more than one")
        if not is_active(entry, self.configuration, now=self._clock()):
            raise not_accepted(f"the account {entry.dn} is disabled, locked or expired")
        return self.login_of(entry, groups)

    async def bind(self, connection: LdapConnection) -> None:
        """Sign the provider's own account in; ConfigurationError INVALID_CONFIG when the directory refuses it."""
        try:
            await connection.bind(self.configuration.bind_dn, self.configuration.bind_password)
        except RefusedBindError as error:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The directory {self.name!r} refuses the account that searches",
                hint="check bind_dn and its password",
                detail=str(error),
            ) from error

    def login_of(self, entry: Entry, groups: tuple[str, ...]) -> Login:
        """The login of a person, with the name that the directory has for them, not the one that was typed."""
        configuration = self.configuration
        name = entry.text(configuration.logins[0])
        return Login(
            provider=configuration.name,
            subject=subject_of(entry, configuration),
            tenant=configuration.tenant,
            name=name.lower() if name.isascii() else name,  # no letter of another alphabet turns into a plain one
            display=entry.text("displayName") or entry.text("cn"),
            email=entry.text("mail"),
            groups=groups,
        )

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    async def _find(self, connection: LdapConnection, name: str) -> Entry | None:
        named = Or(tuple(Equal(attribute, name) for attribute in self.configuration.logins))
        found = await connection.search(
            self.configuration.base,
            And((self._people, named)),
            attributes=self.configuration.person_attributes,
            limit=2,
        )
        if len(found) != 1 or not below(found[0].dn, self.configuration.base):
            return None
        return found[0]

    async def _prove(self, connection: LdapConnection, entry: Entry | None, password: str) -> None:
        """Try the password; for nobody, with a name that is not there, so that both take the same steps."""
        dn = f"cn={secrets.token_hex(8)},{self.configuration.base}" if entry is None else entry.dn
        try:
            await connection.bind(dn, password)
        except RefusedBindError as error:
            raise not_accepted(f"bind as {dn}: {error}") from error
        if entry is None:
            raise not_accepted("the directory has no such person, or more than one")

    async def _groups(self, connection: LdapConnection, entry: Entry) -> tuple[str, ...]:
        configuration = self.configuration
        if configuration.nesting is Nesting.MEMBER_OF:
            found = entry.texts("memberOf")
        elif configuration.nesting is Nesting.CHAIN:
            within = And((configuration.group_classes, Matches("member", IN_CHAIN, entry.dn)))
            found = await self._names(connection, within)
        else:
            found = await self._climb(connection, entry.dn)
        names = sorted({name for dn in found if (name := group_name(dn, configuration.group_base))})
        if len(names) > MAX_GROUPS:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"The directory has more than {MAX_GROUPS} groups for one person",
                ran="no",
                hint="narrow group_base of the provider",
            )
        return tuple(names)

    async def _names(self, connection: LdapConnection, within: Filter) -> tuple[str, ...]:
        base = self.configuration.group_base or self.configuration.base
        entries = await connection.search(base, within, attributes=("cn",), limit=MAX_GROUPS)
        return tuple(entry.dn for entry in entries)

    async def _climb(self, connection: LdapConnection, dn: str) -> tuple[str, ...]:
        found: set[str] = set()
        level = [dn]
        for _ in range(_DEEPEST):
            if not level:
                break
            members = tuple(Equal(name, each) for each in level for name in ("member", "uniqueMember"))
            above = await self._names(connection, And((self.configuration.group_classes, Or(members))))
            level = [each for each in above if each not in found]
            found.update(level)
        return tuple(found)


def subject_of(entry: Entry, configuration: LdapConfiguration) -> str:
    """The directory's own unchanging id of an entry; it stays when a person is renamed or moved.

    Raises ConfigurationError INVALID_CONFIG for a directory that gives none.
    """
    attribute = "objectGUID" if configuration.is_active_directory else "entryUUID"
    values = entry.attributes.get(attribute.lower(), ())
    if configuration.is_active_directory and values and len(values[0]) == 16:
        return str(UUID(bytes_le=values[0]))
    if not configuration.is_active_directory and entry.text(attribute):
        return entry.text(attribute).lower()
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"The directory {configuration.name!r} does not tell {attribute} of its entries",
        hint="let the account that searches read it, or set the kind of the provider",
    )


def is_active(entry: Entry, configuration: LdapConfiguration, *, now: float) -> bool:
    """Whether the account is neither disabled, locked nor expired, as far as the directory tells."""
    if not configuration.is_active_directory:
        return not entry.text("pwdAccountLockedTime").startswith("000001010000")  # locked by an administrator
    control = _number(entry.text("userAccountControl")) | _number(entry.text("msDS-User-Account-Control-Computed"))
    if control & (_DISABLED | _LOCKED | _EXPIRED):
        return False
    expires = _number(entry.text("accountExpires"))
    return expires in {0, _NEVER} or expires / 10_000_000 - _SECONDS_TO_1970 > now


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0
