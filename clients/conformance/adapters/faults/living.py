"""What the client does after a close, and while it is connected."""

from netrox_chat import closing, dialer, link, outbox, pump, runner

from .tools import after, does_nothing, does_nothing_later, fault, with_options


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
