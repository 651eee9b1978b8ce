"""`altar doctor` on a governed host: tier, packages, store, log, keys of tokens, providers and the web port.

Nothing is changed and nothing is made: a store that is not there yet is said to be made at the first start.
What a provider says is not asked for; that it can be reached is.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from altar.adm.errors import AltarError
from altar.cli.finding import Finding

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from altar.settings import Settings

__all__ = ["examine_governance"]

_PACKAGES = ("sqlalchemy", "alembic", "psycopg", "joserfc", "httpx", "starlette", "uvicorn", "argon2", "scim2_models")
_ADD = "`pip install 'altar-ai[aesp]'` adds what is missing"
_SECONDS = 3.0
_PORTS = {"https": 443, "http": 80, "ldaps": 636, "ldap": 389}


def examine_governance(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Look at all that a governed host needs; one finding for a plain one. ``now`` is the clock under examination."""
    tier = settings.aesp.tier
    if tier == "none":
        yield Finding("tier", "ok", "none: whoever has a certificate of the grid may call every tool")
        return
    missing = [name for name in _PACKAGES if util.find_spec(name) is None]
    if missing:
        yield Finding("tier", "fail", f"{tier}, and packages are missing: {', '.join(missing)}", _ADD)
        return
    yield Finding("tier", "ok", f"{tier}, with the operator {settings.aesp.operator_tenant!r}")
    yield from _store(settings)
    yield _log(settings)
    yield _token_keys(settings)
    for provider in settings.aesp.providers:
        yield _provider(provider.model_dump())
    yield from _web(settings, now)


def _store(settings: Settings) -> Iterator[Finding]:
    from altar.aesp.store.engines import make_engine, place_of

    url = settings.database_url.get_secret_value()
    file = settings.host.data / "aesp.db"
    if not url and not file.exists():
        yield Finding("store", "warn", f"{file} is made at the first start", "begin with `altar identity init`")
        return
    try:
        engine = make_engine(url or f"sqlite:///{file.absolute()}")
    except AltarError as error:
        yield Finding("store", "fail", str(error), error.hint)
        return
    try:
        yield from _opened(engine, place_of(engine), settings.aesp.operator_tenant)
    finally:
        engine.dispose()


def _opened(engine: Engine, place: str, operator: str) -> Iterator[Finding]:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from altar.aesp.administrators import has_administrator
    from altar.aesp.store.engines import APP, OPERATOR, OWNER, SCHEMA, enter, is_postgres
    from altar.aesp.store.faults import translated
    from altar.aesp.store.migrating import head, refuse_newer, revision_of

    try:
        with engine.connect() as connection, connection.begin():
            if is_postgres(engine):
                roles = [OWNER, APP, OPERATOR]
                asked = "SELECT r FROM unnest(CAST(:roles AS text[])) r WHERE to_regrole(r) IS NULL"
                absent = connection.execute(text(asked), {"roles": roles}).scalars().all()
                member = "SELECT r FROM unnest(CAST(:roles AS text[])) r WHERE NOT pg_has_role(r, 'MEMBER')"
                foreign = [] if absent else connection.execute(text(member), {"roles": roles}).scalars().all()
                if absent or foreign:
                    said = f"roles that are missing: {', '.join(absent)}" if absent else f"no member of {foreign[0]}"
                    login = connection.execute(text("SELECT session_user")).scalar_one()
                    yield Finding(
                        "store", "fail", f"{place}: {said}", f"an administrator runs `altar store roles {login}`"
                    )
                    return
                there = "SELECT to_regclass(:name) IS NOT NULL"
                is_begun = connection.execute(text(there), {"name": f"{SCHEMA}.alembic_version"}).scalar_one()
                found = revision_of(connection) if is_begun else None
            else:
                found = revision_of(connection)
            refuse_newer(found)
            if found != head():
                yield Finding(
                    "store", "warn", f"{place} has tables of {found or 'no'} revision, {head()} is due", _BEHIND
                )
                return
            yield Finding("store", "ok", f"{place} answers, revision {found}")
            enter(connection, tenant=None)
            if has_administrator(connection, tenant=operator):
                yield Finding("administrator", "ok", f"the tenant {operator!r} has one")
            else:
                yield Finding("administrator", "fail", f"the tenant {operator!r} has none", "run `altar identity init`")
    except DBAPIError as error:
        told = translated(error)
        yield Finding("store", "fail", f"{place} does not answer as it should: {told.message}", told.hint or _CHECK)
    except AltarError as error:
        yield Finding("store", "fail", str(error), error.hint)


_BEHIND = "a start of the host brings it forward, as does `altar store migrate`"
_CHECK = "check the address, the password and that the database runs"


def _log(settings: Settings) -> Finding:
    from altar.cli.log_place import log_of
    from altar.ledger.reader import LogReader

    try:
        place = log_of(settings)
        if isinstance(place, Path) and not place.exists():
            return Finding("log", "ok", f"{place} is made at the first start")
        with LogReader.open(place) as reader:
            logs = reader.logs()
    except AltarError as error:
        return Finding("log", "fail", str(error), error.hint)
    total = sum(log.size for log in logs)
    return Finding(
        "log", "ok", f"{place} can be read: {len(logs)} logs, {total} entries; `altar audit verify` proves them"
    )


def _token_keys(settings: Settings) -> Finding:
    import time

    from altar.aesp.identity.token_keys import TokenKeys

    directory = settings.aesp.token_keys
    if not directory.is_dir() or not any(directory.glob("token-*.pem")):
        return Finding("token keys", "ok", f"{directory} is made at the first start")
    try:
        keys = TokenKeys.open(directory, overlap=2 * settings.aesp.token_lifetime, now=time.time)
    except AltarError as error:
        return Finding("token keys", "fail", str(error), error.hint)
    return Finding("token keys", "ok", f"{directory}, {keys.signing()[0]} signs")


def _provider(members: dict[str, Any]) -> Finding:
    """Whether a provider can be used as it is configured, and whether something listens where it is."""
    check = f"provider {members['name']}"
    if members["kind"] == "saml":
        try:
            members["metadata"].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return Finding(check, "fail", f"its metadata cannot be read: {error}", "save them where the setting says")
        if util.find_spec("saml2") is None or not Path("/usr/bin/xmlsec1").exists():
            return Finding(check, "fail", "pysaml2 or xmlsec1 is missing", "install 'altar-ai[saml]' and xmlsec1")
        return Finding(check, "ok", f"saml, metadata in {members['metadata']}")
    address = members["issuer"] or members["url"]
    parts = urlsplit(address)
    try:
        _make(members)
        port = parts.port or _PORTS.get(parts.scheme, 443)
        socket.create_connection((parts.hostname or "", port), timeout=_SECONDS).close()
    except AltarError as error:
        return Finding(check, "fail", str(error), error.hint)
    except (OSError, ValueError) as error:
        return Finding(
            check, "fail", f"{parts.hostname} cannot be reached: {error}", "check its address, and the way to it"
        )
    return Finding(
        check, "ok", f"{members['kind']} at {parts.hostname}:{port} can be reached; `altar identity test` asks it"
    )


def _make(members: dict[str, Any]) -> None:
    import time

    from altar.aesp.identity.configured import providers_of, source_of

    providers_of([members], now=time.time, clock=time.monotonic)
    source_of(members, now=time.time)


def _web(settings: Settings, now: datetime) -> Iterator[Finding]:
    from altar.grid.trust.certificates import read_certificates

    aesp = settings.aesp
    if aesp.web is None:
        yield Finding("web", "ok", "off: no SCIM, no SAML and no directories over HTTPS")
        return
    if aesp.web_certificate is not None:
        try:
            leaf = read_certificates(aesp.web_certificate)[0]
        except AltarError as error:
            yield Finding("web", "fail", str(error), error.hint)
            return
        left = (leaf.not_valid_after_utc - now).days
        if left < 7:
            said = f"its certificate ends on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            yield Finding("web", "fail" if left < 0 else "warn", said, "renew it, and start the host again")
            if left < 0:
                return
    yield _listens(str(aesp.web), is_secure=aesp.web_certificate is not None)


def _listens(address: str, *, is_secure: bool) -> Finding:
    host, _, port = address.rpartition(":")
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104 - what is bound
    if port == "0":
        return Finding("web", "ok", "the system chooses its port; the host says which when it starts")
    try:
        with socket.create_connection((name, int(port)), timeout=_SECONDS) as connection:
            if is_secure:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether it speaks TLS
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                context.wrap_socket(connection, server_hostname=name).close()
    except ConnectionRefusedError:
        return Finding("web", "warn", f"nobody listens at {address}", "start the host, or look for why it has ended")
    except OSError as error:
        return Finding(
            "web", "fail", f"{address} does not answer in TLS 1.3: {error}", "another program may listen there"
        )
    return Finding("web", "ok", f"{address} answers")
