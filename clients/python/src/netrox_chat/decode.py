"""Reads JSON of the server: what is missing or of another type is a violation of the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import ProtocolViolation

Json = Mapping[str, Any]


def encode(value: object) -> str:
    """With only the escapes that JSON demands: a text of 16 KiB in escapes is over the frame limit."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate is no text: shown as the replacement that everyone else shows.
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def parse(text: str | bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProtocolViolation("not JSON") from error
    if not isinstance(value, dict):
        raise ProtocolViolation("not a JSON object")
    return value


def integer(raw: Json, key: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolViolation(f"{key} is no integer")
    return value


def text(raw: Json, key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise ProtocolViolation(f"{key} is no text")
    return value


def optional_text(raw: Json, key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def optional_integer(raw: Json, key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def boolean(raw: Json, key: str) -> bool:
    return raw.get(key) is True


def obj(raw: Json, key: str) -> Json:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise ProtocolViolation(f"{key} is no object")
    return value


def optional_obj(raw: Json, key: str) -> Json | None:
    value = raw.get(key)
    return value if isinstance(value, dict) else None


def objects(raw: Json, key: str) -> list[Json]:
    value = raw.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ProtocolViolation(f"{key} is no list of objects")
    return value
