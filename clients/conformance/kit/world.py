"""What the scripted server knows: one user, their peers, messages, and the feed."""

import uuid

#: As a server of the defaults has them.
LIMITS = {
    "max_body_bytes": 16_384,
    "max_frame_bytes": 65_536,
    "max_server_frame_bytes": 131_072,
    "max_attachment_bytes": 26_214_400,
    "max_meta_bytes": 4_096,
    "edit_window_s": 86_400,
    "delete_window_s": None,
    "retain_s": None,
    "ping_interval_s": 25,
    "search": True,
}


class World:
    def __init__(self):
        self.me = str(uuid.uuid4())
        self.peer = str(uuid.uuid4())
        self.epoch = "e1"
        self.limits = dict(LIMITS)
        #: By id.
        self.messages = {}
        #: By the peer's id.
        self.threads = {}
        #: ("message" or "thread", key), in the order of the last change.
        self.feed = []
        self.sends = {}
        self.next_id = 1

    # --- changes ---

    def _changed(self, kind, key):
        """Gives the place of the change; an older one of the same object is no more."""
        self.feed = [None if entry == (kind, key) else entry for entry in self.feed]
        self.feed.append((kind, key))
        return len(self.feed)

    def _thread(self, peer_id):
        if peer_id not in self.threads:
            self.threads[peer_id] = {
                "id": len(self.threads) + 1,
                "peer_id": peer_id,
                "last_id": 0,
                "unread": 0,
                "seen_id": 0,
                "delivered_id": 0,
                "peer_seen_id": 0,
                "peer_delivered_id": 0,
                "blocked": False,
                "rev": 0,
            }
        return self.threads[peer_id]

    def _message(self, sender, receiver, text, **fields):
        message_id, self.next_id = self.next_id, self.next_id + 1
        peer_id = receiver if sender == self.me else sender
        thread = self._thread(peer_id)
        created = f"2026-01-01T00:00:{message_id % 60:02}.{message_id:06}Z"
        self.messages[message_id] = {
            "id": message_id,
            "thread": thread["id"],
            "sender_id": sender,
            "receiver_id": receiver,
            "message": text,
            "created": created,
            "updated": created,
            "deleted": False,
            "hidden": False,
            "reply_to": None,
            "meta": None,
            "dispatched": None,
            "attachment": None,
            "client_ref": None,
            "rev": 0,
            **fields,
        }
        thread["last_id"] = message_id
        if sender != self.me:
            thread["unread"] += 1
        self.messages[message_id]["rev"] = self._changed("message", message_id)
        thread["rev"] = len(self.feed)
        return self.messages[message_id]

    def comes(self, text, peer=None):
        """A message of a peer."""
        return self._message(peer or self.peer, self.me, text)

    def edited(self, message_id, text):
        message = self.messages[message_id]
        message["message"] = text
        message["rev"] = self._changed("message", message_id)
        return message

    def store(self, frame):
        """A send. Gives its message, and whether it was there."""
        client_ref = frame["client_ref"].lower()
        if client_ref in self.sends:
            return self.messages[self.sends[client_ref]], True
        message = self._message(
            self.me,
            frame["receiver_id"],
            frame["message_body"],
            client_ref=client_ref,
            reply_to=frame.get("reply_to"),
            meta=frame.get("meta"),
        )
        self.sends[client_ref] = message["id"]
        return message, False

    def marked(self, kind, peer_id, up_to):
        thread = self._thread(peer_id)
        thread["delivered_id"] = max(thread["delivered_id"], up_to)
        if kind == "seen" and up_to > thread["seen_id"]:
            thread["seen_id"] = up_to
            thread["unread"] = sum(
                m["sender_id"] == peer_id and m["id"] > up_to for m in self.messages.values()
            )
            thread["rev"] = self._changed("thread", peer_id)
        return thread

    def restored(self, keep):
        """The database was put back to its first messages."""
        self.epoch = f"e{int(self.epoch[1:]) + 1}"
        self.messages = {id: m for id, m in self.messages.items() if id <= keep}
        self.next_id = keep + 1
        self.sends = {m["client_ref"]: m["id"] for m in self.messages.values() if m["client_ref"]}
        self.feed = [("message", id) for id in self.messages]
        for place, id in enumerate(self.messages, 1):
            self.messages[id]["rev"] = place
        for thread in self.threads.values():
            mine = [m for m in self.messages.values() if m["thread"] == thread["id"]]
            thread.update(last_id=max((m["id"] for m in mine), default=0), rev=len(self.feed))
            thread["unread"] = sum(m["sender_id"] != self.me for m in mine)

    # --- what is told ---

    def cursor(self, place=None):
        return f"{self.epoch}.{len(self.feed) if place is None else place}"

    def place(self, cursor):
        """None where it is none of this history."""
        epoch, _, place = (cursor or "").partition(".")
        is_good = epoch == self.epoch and place.isdigit() and int(place) <= len(self.feed)
        return int(place) if is_good else None

    def changes(self, after):
        """Frames behind a place."""
        frames = []
        for place, entry in enumerate(self.feed[after:], after + 1):
            if entry is None:
                continue
            kind, key = entry
            if kind == "message":
                told = {"new": True, "message": dict(self.messages[key])}
            else:
                told = {"thread": dict(self.threads[key])}
            frames.append({"action": kind, "cursor": self.cursor(place), **told})
        return frames

    def unread_total(self):
        return min(sum(thread["unread"] for thread in self.threads.values()), 1000)

    def user(self, user_id):
        return {"id": user_id, "email": f"{user_id[:8]}@example.com", "profile": None}

    def thread_object(self, peer_id):
        thread = self.threads[peer_id]
        mine = [m for m in self.messages.values() if m["thread"] == thread["id"]]
        last = max(mine, key=lambda m: m["id"]) if mine else None
        return {
            **thread,
            "rev": len(self.feed),
            "peer": self.user(peer_id),
            "created": "2026-01-01T00:00:00.000000Z",
            "last_message": None if last is None else dict(last),
        }

    def thread_list(self):
        order = sorted(self.threads.values(), key=lambda thread: -thread["last_id"])
        return [self.thread_object(thread["peer_id"]) for thread in order]

    def hello(self, after, **changes):
        place = self.place(after)
        if after is None:
            reset = None
        elif place is None:
            reset = "epoch" if after[:1] == "e" else "unknown"
        else:
            reset = None
        return {
            "action": "hello",
            "user_id": self.me,
            "session_id": "s-1",
            "cursor": self.cursor(place),
            "resumed": place is not None,
            "reset": reset,
            "behind": 0 if place is None else len(self.feed) - place,
            "time": "2026-01-01T00:01:00.000000Z",
            "limits": self.limits,
            **changes,
        }
