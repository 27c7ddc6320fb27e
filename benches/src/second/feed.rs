//! A long feed: what it costs to catch up with a part of it, to come back for one message, and to count what is unread.

use std::time::Instant;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{median, page};
use crate::{
    Result,
    client::{
        Http, Socket, User,
        message::{self, Received, Stamp, Template},
        second::{self, Sent},
    },
    latency::{Latencies, Summary},
    ledger::{Checked, Ledger, Verdict},
    load::{
        closed::{self, used},
        party::{PATIENCE, Party},
    },
    progress::note,
    server::Target,
};

/// Changes that are caught up with.
pub(crate) const MISSED: u32 = 100_000;
/// Messages of the feed that the long one is held against.
const SHORT: u32 = 1_000;
const IN_FLIGHT: usize = 256;
const CATCH_UPS: usize = 5;
const TURNS: usize = 5;
/// Of a turn: processor time is told in hundredths of a second.
const RESUMES: usize = 400;
const READS: usize = 50;
/// The state of a thread counts to here.
const MOST_UNREAD: u64 = 1_000;

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Feed {
    pub(crate) messages: u32,
    /// The median of some.
    pub(crate) changes_per_second: f64,
    /// The peak of a catch-up over what was resident before the first.
    pub(crate) growth_bytes: Option<u64>,
    /// Of the server alone, a connection that comes back for one message included; the median of some turns.
    pub(crate) resume_cpu_us: Option<f64>,
    /// The same of a short feed.
    pub(crate) short_resume_cpu_us: Option<f64>,
    /// The median of the ratios of both, turn by turn.
    pub(crate) resume_ratio: Option<f64>,
    /// The state of a thread of which all is unread, by REST.
    pub(crate) unread_ms: Summary,
    /// The same of one's own messages above the mark.
    pub(crate) own_ms: Summary,
    pub(crate) verdict: Verdict,
}

impl Checked for Feed {
    fn wrong(&self) -> u64 {
        self.verdict.wrong()
    }
}

/// Sends so many messages from one user to another, and reads what they left.
pub(crate) async fn run(target: &Target, messages: u32) -> Result<Feed> {
    let messages = messages.max(MISSED);
    let long = party(target)?;
    note(format_args!("  sending {messages} messages"));
    let mut verdict = send(target, &long, messages - MISSED).await?;
    let begin = page::cursor(target, &long.receiver).await?;
    verdict += send(target, &long, MISSED).await?;

    note(format_args!("  catching up with {MISSED} of them"));
    let (changes_per_second, growth_bytes) =
        catch_up(target, &long.receiver, &begin, &mut verdict).await?;

    let short = party(target)?;
    verdict += send(target, &short, SHORT).await?;
    let short_resume = Resume::prepare(target, short).await?;
    let (peer, own) = (long.senders[0].clone(), long.receiver.clone());
    let long_resume = Resume::prepare(target, long).await?;
    note(format_args!("  coming back for one, {TURNS} times {RESUMES} times"));
    let (mut of_long, mut of_short, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let long = long_resume.turn(target).await?;
        let short = short_resume.turn(target).await?;
        ratios.extend(long.zip(short).map(|(long, short)| long / short));
        of_long.extend(long);
        of_short.extend(short);
    }
    Ok(Feed {
        messages,
        changes_per_second,
        growth_bytes,
        resume_cpu_us: median(of_long),
        short_resume_cpu_us: median(of_short),
        resume_ratio: median(ratios),
        unread_ms: state(target, &own, &peer, MOST_UNREAD).await?,
        own_ms: state(target, &peer, &own, 0).await?,
        verdict,
    })
}

fn party(target: &Target) -> Result<Party> {
    Party::new(target, 1)
}

async fn send(target: &Target, party: &Party, messages: u32) -> Result<Verdict> {
    if messages == 0 {
        return Ok(Verdict::default());
    }
    Ok(closed::send(target, party.clone(), IN_FLIGHT, messages).await?.verdict)
}

/// Reads all that came after a cursor, some times: changes per second and the growth of memory.
async fn catch_up(
    target: &Target,
    user: &User,
    begin: &str,
    verdict: &mut Verdict,
) -> Result<(f64, Option<u64>)> {
    let before = target.resident_bytes()?;
    if let Some(processes) = &target.processes {
        processes.forget_peak()?;
    }
    let mut rates = Vec::new();
    for _ in 0..CATCH_UPS {
        let start = Instant::now();
        let mut socket = Socket::open_second(target.door(0), user, Some(begin)).await?;
        let mut ledger = Ledger::default();
        missed(&mut socket, |Received { id, stamp }| ledger.arrived(stamp.number, id)).await?;
        rates.push(f64::from(MISSED) / start.elapsed().as_secs_f64());
        socket.cut()?;
        *verdict += ledger.close(MISSED);
    }
    let peak = target.processes.as_ref().map(|processes| processes.peak_bytes()).transpose()?;
    let growth = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Ok((median(rates).unwrap_or_default(), growth))
}

/// Takes what comes up to `live`.
async fn missed(socket: &mut Socket, mut arrived: impl FnMut(Received)) -> Result<()> {
    loop {
        while let Some(payload) = socket.next()? {
            match second::sent(payload)? {
                Sent::Hello { resumed: true, .. } | Sent::Thread => {}
                sent @ (Sent::Ack | Sent::Typing | Sent::Presence { .. }) => {
                    return Err(format!("nobody asked for {sent:?}").into());
                }
                Sent::Hello { .. } => return Err("a cursor was not taken".into()),
                Sent::Message(received) => arrived(received),
                Sent::Live { .. } => return Ok(()),
            }
        }
        timeout(PATIENCE, socket.fill()).await.map_err(|_| "a catch-up stands still")??;
    }
}

/// Somebody who missed one message of a feed.
struct Resume {
    user: User,
    cursor: String,
}

impl Resume {
    async fn prepare(target: &Target, party: Party) -> Result<Self> {
        let Party { receiver: user, senders } = party;
        let cursor = page::cursor(target, &user).await?;
        let mut socket = Socket::open_second(target.door(0), &user, None).await?;
        missed_one(&mut socket, &senders[0], target, &user).await?;
        socket.cut()?;
        Ok(Self { user, cursor })
    }

    /// Comes back some times; processor time of each in us.
    async fn turn(&self, target: &Target) -> Result<Option<f64>> {
        let cpu = target.cpu_seconds()?;
        for _ in 0..RESUMES {
            let door = target.door(0);
            let mut socket = Socket::open_second(door, &self.user, Some(&self.cursor)).await?;
            let mut count = 0;
            missed(&mut socket, |_| count += 1).await?;
            if count != 1 {
                return Err(format!("{count} messages came in place of one").into());
            }
            socket.cut()?;
        }
        let cpu = used(cpu, target.cpu_seconds()?);
        Ok(cpu.map(|cpu| cpu * 1e6 / RESUMES as f64))
    }
}

/// Has one message sent, and waits until an open socket was sent it.
async fn missed_one(
    socket: &mut Socket,
    sender: &User,
    target: &Target,
    receiver: &User,
) -> Result<()> {
    let documented = Socket::open(target.door(0), sender).await?;
    let stamp = Stamp { sender: 0, number: 0, nanos: 0 };
    let mut template = Template::new(receiver.id, message::MIN_BODY_BYTES);
    documented.sender().send(template.stamped(stamp)).await?;
    loop {
        while let Some(payload) = socket.next()? {
            if let Sent::Message(_) = second::sent(payload)? {
                return documented.cut();
            }
        }
        timeout(PATIENCE, socket.fill()).await.map_err(|_| "a message did not come")??;
    }
}

#[derive(Deserialize)]
struct State {
    unread: u64,
}

/// Reads the state of a thread some times.
async fn state(target: &Target, user: &User, peer: &User, unread: u64) -> Result<Summary> {
    let mut http = Http::connect(target.door(0)).await?;
    let path = format!("/v2/threads/{}", peer.id);
    let state: State = page::get(&mut http, &path, user).await?;
    if state.unread != unread {
        return Err(format!("{} unread in place of {unread}", state.unread).into());
    }
    let mut took = Latencies::new();
    for _ in 0..READS {
        let answer = http.get(&path, user, false).await?.expect(StatusCode::OK)?;
        took.record_duration(answer.whole);
    }
    Ok(took.summary())
}
