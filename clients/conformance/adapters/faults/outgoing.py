"""What the client sends, and what it signals."""

import asyncio
import dataclasses
import json
import uuid

from netrox_chat import attempt, decode, errors, link, outbox, presence, receipts, sends
from netrox_chat.store import sqlite, tables

from .tools import does_nothing_later, fault, with_options


@fault("the_answer_is_lost")
def names_each_try_anew():
    usual = sends.Send.fields
    sends.Send.fields = lambda self: {**usual(self), "client_ref": str(uuid.uuid4())}


@fault("the_request_is_lost")
def gives_up_with_the_connection():
    usual = attempt.Attempts.once

    async def once(self, sending):
        try:
            return await usual(self, sending)
        except errors.ConnectionLost:
            raise errors.InvalidRequest("lost") from None

    attempt.Attempts.once = once


@fault("the_frame_settles")
def waits_for_the_ack():
    usual = tables.Tables._upsert_message

    def upsert(self, came, user_id, applied):
        usual(self, dataclasses.replace(came, client_ref=None), user_id, applied)

    tables.Tables._upsert_message = upsert


def _lanes_by(key):
    usual = outbox.Outbox._enqueue

    def enqueue(self, sending):
        send = sending.send
        sending.send = dataclasses.replace(send, peer_id=key(send))
        usual(self, sending)
        sending.send = send

    outbox.Outbox._enqueue = enqueue


@fault("one_of_a_thread_under_way")
def sends_all_at_once():
    _lanes_by(lambda send: send.client_ref)


@fault("threads_do_not_wait_for_each_other")
def sends_one_after_the_other():
    _lanes_by(lambda send: "all")


@fault("rate_limited")
def does_not_wait_as_told():
    link._error_of = lambda frame: errors.refusal(frame["code"])


@fault("it_may_be_stored")
def takes_a_maybe_for_a_no():
    errors.Unavailable.may_repeat = False


@fault("refused_for_good")
def takes_a_no_for_a_maybe():
    errors.InvalidReceiver.may_repeat = True


@fault("what_it_answers_is_gone")
def does_not_send_without_what_it_answers():
    outbox.NotFound = errors.NotEnabled


@fault("killed_with_a_send_under_way")
def writes_no_send_down():
    sqlite.SqliteStore.add_send = does_nothing_later


@fault("killed_in_a_catch_up")
def stores_the_cursor_first():
    usual = sqlite.SqliteStore.apply

    async def apply(self, changes, cursor=None):
        await usual(self, [], cursor)
        await asyncio.sleep(2.0 if changes else 0.0)
        return await usual(self, changes)

    sqlite.SqliteStore.apply = apply


@fault("as_utf8")
def writes_escapes():
    decode.encode = json.dumps


@fault("receipts_become_one")
def tells_each_mark():
    def mark(self, peer_id, kind, up_to):
        frame = {"action": kind, "peer_id": peer_id, "up_to": up_to}
        asyncio.get_running_loop().create_task(self._current.link.tell(frame))

    receipts.Receipts.mark = mark


@fault("a_lost_receipt_is_told_again")
def tells_a_mark_once():
    usual = receipts.Receipts._tell

    async def tell(self, peer_id, kind, up_to):
        await usual(self, peer_id, kind, up_to)
        self._wanted.pop((peer_id, kind), None)

    receipts.Receipts._tell = tell


@fault("typing_ends_by_itself")
def lets_them_type_for_ever():
    with_options(typing_expiry=1e6)


@fault("typing_is_repeated")
def types_once():
    with_options(typing_repeat=1e6)


@fault("presence_is_watched_again")
def watches_once():
    presence.PresenceWatch.connected = does_nothing_later
