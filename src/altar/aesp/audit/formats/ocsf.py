"""The Open Cybersecurity Schema Framework, version 1.5.0: what happened, in classes that a SIEM knows.

A sign-in (`auth.…`) is an Authentication event, class 3002; everything else is API Activity, class 6003.
"""

from __future__ import annotations

from typing import Any

import orjson

from altar import __version__
from altar.aesp.audit.record import Record, members_of

__all__ = ["API_ACTIVITY", "AUTHENTICATION", "VERSION", "event_of", "line"]

VERSION = "1.5.0"
AUTHENTICATION = 3002
API_ACTIVITY = 6003


def line(record: Record) -> str:
    """Give the record as one JSON object."""
    return orjson.dumps(event_of(record)).decode()


def event_of(record: Record) -> dict[str, Any]:
    """Give the record as an event of the class that it belongs to."""
    made = _authentication(record) if record.event.startswith("auth.") else _api_activity(record)
    status, status_id = _STATUS.get(record.outcome, ("Unknown", 0))
    severity, severity_id = _SEVERITY.get(record.outcome, ("Informational", 1))
    made |= {
        "metadata": {
            "version": VERSION,
            "product": {"name": "ALTAR", "vendor_name": "ALTAR", "version": __version__},
            "uid": record.id,
            "log_name": record.origin,
            "sequence": record.position,
            "event_code": record.event,
            **({"tenant_uid": record.tenant} if record.tenant else {}),
            **({"correlation_uid": record.correlation} if record.correlation else {}),
        },
        "time": record.time_ms,
        "severity": severity,
        "severity_id": severity_id,
        "status": status,
        "status_id": status_id,
        "type_uid": made["class_uid"] * 100 + made["activity_id"],
        "unmapped": {name: value for name, value in members_of(record).items() if name in _UNMAPPED},
    }
    if record.code:
        made["status_code"] = record.code
    if record.note:
        made["message"] = record.note
    if record.count:
        made["count"] = record.count
    return made


def _authentication(record: Record) -> dict[str, Any]:
    logoff = record.event.endswith("ended")
    return {
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "class_uid": AUTHENTICATION,
        "class_name": "Authentication",
        "activity_id": 2 if logoff else 1,
        "activity_name": "Logoff" if logoff else "Logon",
        "user": _user(record),
        "service": {"name": "ALTAR", "uid": record.origin},
        **({"session": {"uid": record.session}} if record.session else {}),
    }


def _api_activity(record: Record) -> dict[str, Any]:
    number, name = _activity(record)
    session = {"session": {"uid": record.session}} if record.session else {}
    resource = record.resource or record.subject
    return {
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": API_ACTIVITY,
        "class_name": "API Activity",
        "activity_id": number,
        "activity_name": name,
        "actor": {"user": _user(record), **session},
        "api": {
            "operation": record.action or record.event,
            "service": {"name": "ALTAR", "uid": record.origin},
            **({"version": record.version} if record.version else {}),
            **({"request": {"uid": record.invocation}} if record.invocation else {}),
        },
        "src_endpoint": {"uid": record.session or record.principal or record.origin},
        **({"resources": [{"name": resource}]} if resource else {}),
    }


def _user(record: Record) -> dict[str, str]:
    return {"uid": record.principal or record.subject or "system"}


def _activity(record: Record) -> tuple[int, str]:
    verb = record.event.rpartition("_")[2].rpartition(".")[2]
    for number, name, verbs in _ACTIVITIES:
        if verb in verbs:
            return number, name
    return 99, record.action or record.event


_ACTIVITIES = (
    (1, "Create", {"create", "created", "opened", "registered", "attached"}),
    (2, "Read", {"list", "show", "get", "read", "query", "export"}),
    (3, "Update", {"update", "updated", "extended", "activated", "assign", "rotate", "suspend", "resume"}),
    (4, "Delete", {"delete", "deleted", "closed", "detached", "revoke", "remove"}),
)
_STATUS = {
    "SUCCESS": ("Success", 1),
    "FAILURE": ("Failure", 2),
    "DENIED": ("Failure", 2),
    "PARTIAL": ("Partial", 99),
}
_SEVERITY = {"DENIED": ("Medium", 3), "FAILURE": ("Low", 2), "PARTIAL": ("Low", 2)}
_UNMAPPED = frozenset({"event", "tool", "subject", "runtime", "data", "outcome"})
