"""Tools that take and give bytes, large and small, alone and inside of other things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altar


@dataclass
class Parcel:
    """Bytes with a label."""

    label: str
    data: bytes


@altar.tool(read_only=True)
def blob_same(data: bytes) -> bytes:
    """Give the bytes back, as the bytes they came as."""
    assert type(data) is bytes
    return data


@altar.tool
async def blob_parcels(parcels: list[Parcel], last: bytes | None = None) -> dict[str, Parcel]:
    """Give parcels back by their labels, and the last bytes under no label."""
    assert all(type(parcel.data) is bytes for parcel in parcels)
    return {parcel.label: parcel for parcel in [*parcels, Parcel("", last or b"")]}


@altar.tool
def blob_anything(value: Any) -> Any:
    """Give back what came."""
    return value


@altar.tool(isolate="process")
def blob_isolated(data: bytes) -> bytes:
    """Give the bytes back from a process of its own."""
    assert type(data) is bytes
    return data


@altar.tool
def blob_made(size: int) -> bytes:
    """Give so many bytes."""
    return bytes(size)


@altar.tool
def blob_halves(data: bytes) -> Iterator[bytes]:
    """Give the first half of the bytes, then the other."""
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]


@altar.tool
def blob_counted(data: bytes, directory: str) -> bytes:
    """Give the bytes back, and leave a mark for each run."""
    (Path(directory) / os.urandom(8).hex()).touch()
    return data


@altar.tool(local_dispatch=True)
def blob_near(data: bytes) -> bytes:
    """Give the bytes back, where the caller is if it may."""
    return data


@altar.tool
async def blob_around(data: bytes, context: altar.ToolContext) -> bytes:
    """Let another tool give the bytes back."""
    inside = await context.session.call("blob_same", data=data)
    other = await context.session.call("blob_anything", value=[data])
    assert other.bytes_at("/0") == inside.bytes_at()
    return inside.bytes_at()
