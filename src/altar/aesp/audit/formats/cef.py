r"""ArcSight Common Event Format, version 0.

A line is seven fields of a head, split by `|`, and an extension of `key=value`.
In the head `\` and `|` are escaped, in the extension `\`, `=` and line breaks (CEF Implementation Standard, "Character
Encoding").
"""

from __future__ import annotations

from altar import __version__
from altar.aesp.audit.record import Record

__all__ = ["line", "severity_of"]


def line(record: Record) -> str:
    """Give the record as one line, beginning with `CEF:0`."""
    head = ("ALTAR", "altar-host", __version__, record.event, _title(record), str(severity_of(record)))
    extension = " ".join(f"{key}={_value(value)}" for key, value in _pairs(record) if value)
    return f"CEF:0|{'|'.join(_field(one) for one in head)}|{extension}"


def severity_of(record: Record) -> int:
    """Give how grave it is, from 0 to 10: a refusal 6, a failure 5, half an answer 4, all else 3."""
    return _SEVERITIES.get(record.outcome, 3)


def _title(record: Record) -> str:
    what = record.tool or record.subject or record.resource
    return f"{record.event} {what}".strip()


def _pairs(record: Record) -> list[tuple[str, str]]:
    named = (
        ("tenant", record.tenant),
        ("session", record.session),
        ("correlation", record.correlation),
        ("invocation", record.invocation),
        ("resource", record.resource),
        ("data", record.data),
    )
    pairs = [
        ("rt", str(record.time_ms)),
        ("externalId", record.id),
        ("dvchost", record.origin.partition("/")[0]),
        ("deviceExternalId", record.origin),
        ("suser", record.principal),
        ("act", record.action),
        ("outcome", record.outcome),
        ("reason", record.code),
        ("cnt", str(record.count) if record.count else ""),
        ("msg", record.note),
    ]
    for number, (label, value) in enumerate(named, 1):
        if value:
            pairs += [(f"cs{number}Label", label), (f"cs{number}", value)]
    return pairs


def _field(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n")


_SEVERITIES = {"DENIED": 6, "FAILURE": 5, "PARTIAL": 4}
