"""The tables of a SQLite store."""

from __future__ import annotations

import sqlite3

from ..errors import ChatError

VERSION = 1

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    peer_id TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    created TEXT NOT NULL,
    rev INTEGER NOT NULL,
    is_gone INTEGER NOT NULL,
    is_hidden INTEGER NOT NULL,
    object TEXT NOT NULL
);
CREATE INDEX messages_of_peer ON messages (peer_id, id);
CREATE INDEX messages_by_time ON messages (created);
CREATE TABLE threads (
    peer_id TEXT PRIMARY KEY,
    last_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    peer TEXT,
    created TEXT
) WITHOUT ROWID;
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    client_ref TEXT NOT NULL UNIQUE,
    send TEXT NOT NULL,
    content BLOB
);
"""


def prepare(db: sqlite3.Connection) -> None:
    """Makes the tables in a new file. A file of a later version is not touched."""
    db.execute("PRAGMA journal_mode = WAL")
    # An outbox that a power cut takes back would be a send that its user saw leave.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA busy_timeout = 5000")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version != 0:
        raise ChatError(f"the store has schema {version}, which a later version of this package made")
    db.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
