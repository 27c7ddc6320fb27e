//! Limits (PROTOCOL section 5).

use std::time::Duration;

use clap::{Args, builder::BoolishValueParser};
use netrox_edge::config::{AddressRate, Limits};

use super::value::{Limited, Window, duration, number, rate_or_none, retention, window};
use crate::sources::{SettingError, Sources};

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(3600);
const LONGEST_STORE_WAIT: Duration = Duration::from_secs(30);
/// Unless told, of an edge that may be one of several.
pub(crate) const SPREAD_AMONG_EDGES: Duration = Duration::from_secs(5);
/// The same of one that is alone: while it drains nobody can come back.
pub(crate) const SPREAD_ALONE: Duration = Duration::ZERO;
const MIB: u64 = 1024 * 1024;
/// How long messages are kept at least, unless told otherwise.
const LEAST_RETENTION: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CommonLimitArgs {
    /// Bytes of UTF-8 of a message body; beyond it `message_too_large`, 400 on upload
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_body_bytes)]
    #[arg(value_parser = number::<usize>(1..=MIB))]
    pub(crate) max_body_bytes: usize,

    /// Bytes of an uploaded file; beyond it 413
    #[arg(long, value_name = "BYTES", default_value = "26214400")]
    #[arg(value_parser = number::<u64>(1..=MIB * MIB))]
    pub(crate) max_attachment_bytes: u64,

    /// Time after its sending in which a message may be edited; beyond it `too_late`; 0 is never, `unlimited` has no end
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = window)]
    pub(crate) edit_window: Window,

    /// Time after its sending in which a message may be deleted for both; beyond it `too_late`; as --edit-window
    #[arg(long, value_name = "TIME", default_value = "unlimited", value_parser = window)]
    pub(crate) delete_window: Window,

    /// Time after its sending from which on a message is removed, with its file; `unlimited` keeps all for ever
    ///
    /// At least 24h, unless --allow-short-retention. Clients and backups remove their copies themselves, or keep them.
    #[arg(long, value_name = "TIME", default_value = "unlimited", value_parser = retention)]
    pub(crate) retain_messages: Window,

    /// Take less than 24h for --retain-messages [default: refuse it, as it may be a mistake]
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) allow_short_retention: bool,

    /// Let users search their messages, by an index over these; the same for all cores and edges [default: off]
    ///
    /// What there is already is indexed in the background. On PostgreSQL it needs the extension pg_trgm.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) search: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct EdgeLimitArgs {
    /// Bytes of a WebSocket frame, and of a message; beyond it close 1009
    #[arg(long, value_name = "BYTES", default_value = "65536")]
    #[arg(value_parser = number::<usize>(1..=16 * MIB))]
    pub(crate) max_frame_bytes: usize,

    /// Sends a second and user, over all connections; beyond it `rate_limited`; 0 is no limit
    #[arg(long, value_name = "N", default_value = "50", value_parser = number::<u32>(0..=1_000_000))]
    pub(crate) send_rate: u32,

    /// Sends that a user may make at once before --send-rate counts
    #[arg(long, value_name = "N", default_value = "100", value_parser = number::<u32>(1..=1_000_000))]
    pub(crate) send_burst: u32,

    /// Marks of what was seen or delivered, a second and user; beyond it they wait; 0 is no limit
    #[arg(long, value_name = "N", default_value = "20", value_parser = number::<u32>(0..=1_000_000))]
    pub(crate) receipt_rate: u32,

    /// Marks that a user may make at once before --receipt-rate counts
    #[arg(long, value_name = "N", default_value = "200", value_parser = number::<u32>(1..=1_000_000))]
    pub(crate) receipt_burst: u32,

    /// Searches a second and user; beyond it `rate_limited`; 0 is no limit
    #[arg(long, value_name = "N", default_value = "5", value_parser = number::<u32>(0..=1_000_000))]
    pub(crate) search_rate: u32,
    /// Times a second that a user tells a peer who types; beyond it the last word waits; 0 is no limit
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u32>(0..=1_000_000))]
    pub(crate) typing_rate: u32,

    /// WebSockets of a user; beyond it one that is dead or was silent longest is closed with 1008
    #[arg(long, value_name = "N", default_value = "16", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_connections_per_user: usize,

    /// WebSockets altogether; beyond it the handshake is answered 503
    #[arg(long, value_name = "N", default_value = "20000", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_connections: usize,

    /// Uploads of a user at a time; beyond it a wait, then 429
    #[arg(long, value_name = "N", default_value = "4", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_uploads_per_user: usize,

    /// Bytes that a user uploads in a day; beyond it 429 [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = number::<u64>(1..=MIB * MIB * MIB))]
    pub(crate) upload_bytes_per_day: Option<u64>,

    /// Bytes a second at which all uploads of a user together are read [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = number::<u64>(1..=MIB * MIB))]
    pub(crate) upload_bytes_rate: Option<u64>,

    /// History reads of a user at a time; beyond it a wait, then 429
    #[arg(long, value_name = "N", default_value = "4", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_history_reads_per_user: usize,

    /// Downloads of a user at a time, where a download takes a token; beyond it a wait, then 429
    #[arg(long, value_name = "N", default_value = "16", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_downloads_per_user: usize,

    /// Downloads of a client's address at a time, a /64 for IPv6; beyond it a wait, then 429
    #[arg(long, value_name = "N", default_value = "64", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_downloads_per_address: usize,

    /// Downloads altogether; beyond it a wait, then 503; never more than an eighth of the open files
    #[arg(long, value_name = "N", default_value = "1024", value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) max_downloads: usize,

    /// Tokens of an address that are refused, in a time; beyond it 429, also before they are verified
    ///
    /// A /64 for IPv6. One that has expired does not count, and nobody with a good token is refused for others.
    #[arg(long, value_name = "N/TIME", default_value = "1000/1m", value_parser = rate_or_none)]
    pub(crate) failed_tokens_per_address: Limited,

    /// Requests of an address that are refused and have no good token, in a time; beyond it 429, a second late
    #[arg(long, value_name = "N/TIME", default_value = "6000/1m", value_parser = rate_or_none)]
    pub(crate) unauthenticated_requests_per_address: Limited,

    /// Time between pings of an idle WebSocket; one silent for two of them is dropped
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) ping_interval: Duration,

    /// Time for a request head, and for the WebSocket handshake; beyond it closed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) handshake_timeout: Duration,

    /// Time that a connection rests between two requests; beyond it closed
    ///
    /// Above that of the balancer in front, which would else send a request on a connection that is just being closed.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) keep_alive_timeout: Duration,

    /// Time without a byte of a request body; beyond it 408 or closed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) body_idle_timeout: Duration,

    /// Frames that wait for a slow WebSocket; beyond it close 1013
    #[arg(long, value_name = "N", default_value = "256", value_parser = number::<usize>(1..=MIB))]
    pub(crate) outgoing_queue_frames: usize,

    /// Bytes that wait for a slow WebSocket; beyond it close 1013
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    #[arg(value_parser = number::<usize>(1..=1024 * MIB))]
    pub(crate) outgoing_queue_bytes: usize,

    /// Time over which a drain has clients of the second generation reconnect; less than --drain-timeout
    /// [default: 5s, or half of --drain-timeout; 0 in the role serve]
    ///
    /// Each is told its own moment, and served until then. 0 closes their sockets at once, as those of others are. In the role
    /// serve there is no other edge that could take them.
    #[arg(long, value_name = "TIME", value_parser = duration(Duration::ZERO..=LONGEST))]
    pub(crate) drain_spread: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct WaitArgs {
    /// Time that a send waits for a database or core that is away; beyond it `unavailable`
    ///
    /// Counted once over edge and core. What waits may take 16 MiB in each process, and a sixteenth of that for one user.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    #[arg(value_parser = duration(Duration::ZERO..=LONGEST_STORE_WAIT))]
    pub(crate) store_wait: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct DrainArgs {
    /// Time from SIGTERM to the hard stop
    ///
    /// An edge gives its sockets three quarters of it; the rest is for the core behind it. A second
    /// signal stops at once.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) drain_timeout: Duration,
}

impl CommonLimitArgs {
    /// What is removed does not come back: less than a day is not taken for meant.
    pub(crate) fn check(&self, sources: &Sources) -> Result<(), SettingError> {
        let Window(Some(kept)) = self.retain_messages else { return Ok(()) };
        if kept >= LEAST_RETENTION || self.allow_short_retention {
            return Ok(());
        }
        let [kept, least] = [kept, LEAST_RETENTION].map(humantime::format_duration);
        let problem = format!(
            "{kept} is less than {least}, and what is removed does not come back: where that is meant, add \
             --allow-short-retention"
        );
        Err(sources.refuse("retain-messages", problem))
    }
}

impl DrainArgs {
    /// What the sockets of an edge get of it, `spread` included. The rest is for what comes after them: the core, and
    /// closing the database.
    fn for_edge(&self, spread: Duration) -> Duration {
        let after_spread = self.drain_timeout.saturating_sub(spread) / 2;
        (self.drain_timeout * 3 / 4).max(spread + after_spread)
    }

    /// How much of it what waits for the database may wait, so that there is time to tell its senders.
    pub(crate) fn for_waits(&self) -> Duration {
        self.drain_timeout / 2
    }
}

impl EdgeLimitArgs {
    pub(crate) fn to_limits(
        &self,
        common: &CommonLimitArgs,
        wait: &WaitArgs,
        drain: &DrainArgs,
        default_spread: Duration,
    ) -> Limits {
        let default_spread = default_spread.min(drain.drain_timeout / 2);
        let drain_spread = self.drain_spread.unwrap_or(default_spread);
        Limits {
            max_body_bytes: common.max_body_bytes,
            max_frame_bytes: self.max_frame_bytes,
            max_attachment_bytes: common.max_attachment_bytes,
            edit_window: common.edit_window.0,
            delete_window: common.delete_window.0,
            retain_messages: common.retain_messages.0,
            send_rate: self.send_rate,
            send_burst: self.send_burst,
            receipt_rate: self.receipt_rate,
            receipt_burst: self.receipt_burst,
            search: common.search,
            search_rate: self.search_rate,
            typing_rate: self.typing_rate,
            max_connections_per_user: self.max_connections_per_user,
            max_connections: self.max_connections,
            max_uploads_per_user: self.max_uploads_per_user,
            upload_bytes_per_day: self.upload_bytes_per_day,
            upload_bytes_rate: self.upload_bytes_rate,
            max_history_reads_per_user: self.max_history_reads_per_user,
            max_downloads_per_user: self.max_downloads_per_user,
            max_downloads_per_address: self.max_downloads_per_address,
            max_downloads: self.max_downloads,
            failed_tokens_per_address: address_rate(self.failed_tokens_per_address),
            unauthenticated_requests_per_address: address_rate(
                self.unauthenticated_requests_per_address,
            ),
            ping_interval: self.ping_interval,
            handshake_timeout: self.handshake_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            body_idle_timeout: self.body_idle_timeout,
            outgoing_queue_frames: self.outgoing_queue_frames,
            outgoing_queue_bytes: self.outgoing_queue_bytes,
            store_wait: wait.store_wait,
            drain_timeout: drain.for_edge(drain_spread),
            drain_spread,
        }
    }

    /// The limits that depend on one another.
    pub(crate) fn check(
        &self,
        common: &CommonLimitArgs,
        drain: &DrainArgs,
        sources: &Sources,
    ) -> Result<(), SettingError> {
        common.check(sources)?;
        if let Some(spread) = self.drain_spread.filter(|spread| *spread >= drain.drain_timeout) {
            let [spread, timeout] = [spread, drain.drain_timeout].map(humantime::format_duration);
            let problem = format!("{spread} is not less than --drain-timeout ({timeout})");
            return Err(sources.refuse("drain-spread", problem));
        }
        at_most(
            sources,
            ("max-body-bytes", common.max_body_bytes),
            ("max-frame-bytes", self.max_frame_bytes),
        )?;
        at_most(
            sources,
            ("max-frame-bytes", self.max_frame_bytes),
            ("outgoing-queue-bytes", self.outgoing_queue_bytes),
        )
    }
}

fn address_rate(Limited(rate): Limited) -> Option<AddressRate> {
    rate.map(|rate| AddressRate { count: rate.count, period: rate.period })
}

/// Blames the one of the two that was given.
fn at_most(
    sources: &Sources,
    (low_flag, low): (&str, usize),
    (high_flag, high): (&str, usize),
) -> Result<(), SettingError> {
    if low <= high {
        return Ok(());
    }
    if sources.is_given(high_flag) && !sources.is_given(low_flag) {
        return Err(sources.refuse(high_flag, format!("{high} is less than --{low_flag} ({low})")));
    }
    Err(sources.refuse(low_flag, format!("{low} is more than --{high_flag} ({high})")))
}
