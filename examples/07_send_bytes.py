# pip install altar-ai
"""Hand a picture to a tool and take one back: bytes stay bytes, and large ones travel beside the JSON."""

from __future__ import annotations

import struct
import zlib

import altar


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey picture in the form of PNG; each row begins with the number of its filter, 0 for none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


@altar.tool(read_only=True)
def invert(picture: bytes) -> bytes:
    """Turn a grey PNG, as this program makes it, into its negative.

    Args:
        picture: The file as it is.
    """
    width, height = struct.unpack(">II", picture[16:24])
    rows = bytearray(zlib.decompress(picture[41:-16]))
    for row in range(height):
        start = row * (width + 1) + 1
        rows[start : start + width] = bytes(255 - grey for grey in rows[start : start + width])
    return png(width, height, bytes(rows))


ramp = png(128, 64, b"".join(b"\0" + bytes(range(0, 256, 2)) for _ in range(64)))

with altar.session([invert], source="later:") as session:
    print(invert.declaration.parameters.json_schema["properties"]["picture"])

    result = session.call("invert", picture=ramp)
    negative = result.bytes_at()
    print(len(ramp), "bytes in,", len(negative), "bytes out,", negative[:4])

    twice = session.call("invert", picture=negative).bytes_at()
    print(twice == ramp)

    print(session.call("invert", picture="not base64!").text.splitlines()[0])

# Prints:
# {'contentEncoding': 'base64', 'description': 'The file as it is.', 'type': 'string'}
# 8324 bytes in, 8324 bytes out, b'\x89PNG'
# True
# Argument `picture` must be valid base64: Invalid symbol 32, offset 3. (INVALID_TOOL_ARGS)
