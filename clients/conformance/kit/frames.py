"""WebSocket frames of a server, by hand: where bytes matter no library may be in between."""

import base64
import hashlib
import json

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def frame(opcode, payload):
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 65_536:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")
    return head + payload


def text(value):
    return frame(TEXT, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def close(code, reason=""):
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


async def read(reader):
    """The opcode and the payload of the next frame. A client has to mask each."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8), "big")
    if not second & 0x80:
        raise ValueError("a frame of a client that is not masked")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    whole = int.from_bytes(data, "big") ^ int.from_bytes(
        (mask * (length // 4 + 1))[:length], "big"
    )
    return first & 0x0F, whole.to_bytes(length, "big")
