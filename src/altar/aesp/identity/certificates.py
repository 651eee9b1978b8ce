"""Certificates: a SPIFFE id that the connection has proved goes in, a principal comes out.

``spiffe://<domain>/client/<name>`` is a client of the operator's tenant, and
``spiffe://<domain>/tenant/<tenant>/client/<name>`` one of that tenant; both are known as ``<tenant>/cert:<name>``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.adm.errors import ValidationError
from altar.aesp.identity.login import not_accepted
from altar.aesp.principal import Principal, principal_id

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.grid.trust.certificates import Identity

__all__ = ["CERTIFICATE", "certificate_principal_id", "principal_of_certificate", "tenant_of"]

CERTIFICATE = "cert:"
"""How the names of principals begin that prove themselves by a certificate."""


def tenant_of(identity: Identity, *, operator_tenant: str) -> str:
    """The tenant that a certificate belongs to: the one it names, else the operator's."""
    return identity.tenant or operator_tenant


def certificate_principal_id(identity: Identity, *, operator_tenant: str) -> str:
    """The id of the principal of a certificate; MALFORMED_REQUEST when its name is longer than 58 characters."""
    return principal_id(tenant_of(identity, operator_tenant=operator_tenant), f"{CERTIFICATE}{identity.name}")


def principal_of_certificate(identity: Identity, directory: Directory, *, operator_tenant: str) -> Principal:
    """Who holds the certificate of a connection, now.

    Raises INVALID_CREDENTIALS for one that is no client's, or whose principal is not known or was deactivated.
    It ends with its connection, so it has no end of its own here.
    """
    if identity.role != "client":
        raise not_accepted(f"a certificate of role {identity.role!r} is no client's")
    try:
        known_as = certificate_principal_id(identity, operator_tenant=operator_tenant)
    except ValidationError as wrong:
        raise not_accepted(wrong.message) from wrong
    person = directory.principal(known_as)
    if person is None or not person.active:
        raise not_accepted("the principal of the certificate is not known here, or was deactivated")
    return Principal(id=known_as, tenant=person.tenant, kind=person.kind, authenticated_by="certificate")
