"""What comes: from the handshake to the store."""

import asyncio

from netrox_chat import backoff, closing, dialer, errors, feed, link, outbox, pump, runner, snapshot
from netrox_chat.store import rules, sqlite, tables

from .tools import after, does_nothing, does_nothing_later, fault, with_options


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
