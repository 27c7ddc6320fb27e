"""Faults for the Python client, one for each check: a check that its fault passes checks nothing."""

import asyncio
import dataclasses
import json
import uuid

from netrox_chat import closing, decode, dialer, errors, feed, link, options, outbox, presence, pump
from netrox_chat import attempt, backoff, receipts, runner, sends, snapshot
from netrox_chat.store import rules, sqlite, tables

#: By the name of the check that has to see it.
FAULTS = {}


def fault(*checks):
    def take(function):
        for check in checks:
            FAULTS[check] = function
        return function

    return take


def with_options(**changes):
    usual = options.Options.scaled

    def scaled(self, factor):
        return dataclasses.replace(usual(self, factor), **changes)

    options.Options.scaled = scaled


def does_nothing(*_, **__):
    pass


async def does_nothing_later(*_, **__):
    pass


def after(decide):
    """What the client does after a close."""
    usual = closing.End.after.fget
    closing.End.after = property(lambda end: decide(end) or usual(end))


# --- connecting ---


@fault("hello_in_the_segment_of_the_101")
def loses_what_comes_with_the_101():
    connect = link.connect

    async def late(*given, **more):
        socket = await connect(*given, **more)
        try:
            await asyncio.wait_for(socket.recv(), 0.05)
        except asyncio.TimeoutError:
            pass
        return socket

    link.connect = late


@fault("one_byte_at_a_time")
def wants_hello_at_once():
    with_options(hello_timeout=0.03)


@fault("the_largest_legal_frame")
def takes_small_frames():
    with_options(max_frame_bytes=65_536)


@fault("cut_at_each_step", "resumes_at_the_cursor", "in_pieces_at_random")
def forgets_its_cursor():
    usual = dialer.open_link

    async def forgetful(url, credentials, token, after, options):
        return await usual(url, credentials, token, None, options)

    dialer.open_link = forgetful


@fault("no_hello")
def waits_for_hello_for_ever():
    with_options(hello_timeout=1e9)


@fault("a_server_of_the_first_generation", "a_refused_handshake")
def gives_up_where_it_is_not_let_in():
    after(lambda end: None if end.was_greeted else closing.After.STAY_AWAY)


@fault("of_another_user")
def stores_what_is_anothers():
    sqlite.SqliteStore.bind = does_nothing_later


@fault("backs_off")
def comes_back_at_once():
    backoff.Backoff.next = lambda self, at_least=0.0: at_least


# --- what comes ---


@fault("repeated_frames")
def does_not_know_what_it_holds():
    tables.Tables.message = does_nothing


@fault("the_smaller_rev_is_old")
def takes_what_is_old():
    rules.merge_message = lambda held, came: came


@fault("a_thread_that_it_does_not_hold")
def asks_for_no_thread():
    feed.Feed.look_for_strangers = does_nothing_later
    feed.Feed._look_for_threads = does_nothing_later


@fault("what_it_does_not_know")
def knows_all_actions():
    usual = pump.Pump._other

    async def strict(self, connection, frame, reconnect):
        if frame["action"] not in ("live", "reconnect"):
            raise errors.ProtocolViolation("unknown")
        await usual(self, connection, frame, reconnect)

    pump.Pump._other = strict


@fault("reset_epoch", "reset_unknown", "far_behind")
def takes_no_snapshot():
    runner.Runner._needs_snapshot = lambda self, connection: False


@fault("the_outbox_outlives_a_reset")
def throws_the_outbox_away():
    made = []
    usual_init, usual_take = outbox.Outbox.__init__, snapshot.Snapshots.take

    def init(self, *given):
        usual_init(self, *given)
        made.append(self)

    async def take(self):
        for sending in list(made[-1]._sendings.values()):
            await sending.cancel()
        return await usual_take(self)

    outbox.Outbox.__init__ = init
    snapshot.Snapshots.take = take


@fault("a_slow_answer_is_old")
def takes_the_answer_that_came_last():
    rules.merge_state = lambda held, came: came


@fault("what_the_server_keeps_no_longer")
def keeps_all():
    dialer.Dialer._forget_old = does_nothing_later


@fault("unread_is_counted")
def adds_up():
    def unread(self, peer_id):
        wanted = (peer_id,)
        (all_of_it,) = self._db.execute(
            "SELECT count(*) FROM messages WHERE sender_id = ?", wanted
        ).fetchone()
        return self.thread(peer_id).state.unread + all_of_it

    tables.Tables.unread = unread


# --- sends ---


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
        await asyncio.sleep(1.0 if changes else 0.0)
        return await usual(self, changes)

    sqlite.SqliteStore.apply = apply


@fault("as_utf8")
def writes_escapes():
    decode.encode = json.dumps


# --- closes ---


@fault("closed_before_hello")
def believes_its_library():
    after(lambda end: closing.After.STAY_AWAY if end.code == 1000 else None)


@fault("comes_back")
def does_not_come_back_after_1011():
    after(lambda end: closing.After.STAY_AWAY if end.code == 1011 else None)


@fault(
    "waits_after_1002",
    "waits_after_1008",
    "a_new_token_after_4401",
    "no_new_token_after_4401",
    "signs_out_after_4403",
    "signs_out_after_4403_before_hello",
    "stays_away_after_4409",
    "stays_away_after_an_unknown_44xx",
)
def comes_back_always():
    after(lambda end: closing.After.BACKOFF)


@fault("drops_the_frame_that_was_too_large")
def blames_nobody():
    outbox.Outbox.blame = does_nothing_later


# --- its life ---


@fault("hangs_without_closing")
def never_pings():
    with_options(silence=1e9)


@fault("a_quiet_server_is_not_left")
def leaves_after_silence():
    async def is_alive(self):
        return False

    link.Link.is_alive = is_alive


@fault("reconnects_as_told")
def does_not_listen():
    usual = pump.Pump._other

    async def other(self, connection, frame, reconnect):
        if frame["action"] != "reconnect":
            await usual(self, connection, frame, reconnect)

    pump.Pump._other = other


@fault("never_two_connections")
def opens_two():
    usual = dialer.Dialer.dial

    async def dial(self, cursor):
        self.another = await usual(self, cursor)
        return await usual(self, cursor)

    dialer.Dialer.dial = dial


@fault("wakes_at_once")
def sleeps_on():
    runner.Runner.wake = does_nothing


@fault("refreshes_its_token")
def lets_the_token_expire():
    runner.Runner.token_expires = does_nothing


# --- signals ---


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
