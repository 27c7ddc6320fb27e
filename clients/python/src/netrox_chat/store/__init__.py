"""Where a client keeps messages, threads, its cursor and its outbox."""

from .base import Applied, Change, Changed, Saved, Store
from .memory import MemoryStore
from .sqlite import SqliteStore

__all__ = ["Applied", "Change", "Changed", "MemoryStore", "Saved", "SqliteStore", "Store"]
