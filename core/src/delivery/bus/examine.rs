//! Whether the bus carries what this core would publish, for the operator. Other cores may be on it: what is published is none
//! of their hints, and they drop it unread.

use std::{future::ready, time::Duration};

use async_nats::{Client, Event, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use netrox_diagnosis::{Report, Subject};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    entry,
    event::{ConnectFailure, Kind, kind_of},
    hint,
    subject::{SHARES, Subjects},
};
use crate::{config::BusConfig, doctor::Cluster};

const NAME: &str = "netrox-chat doctor";
/// Shorter than the id of a user, with which each hint begins.
const MARK_BYTES: usize = 15;
/// For what was published to come back.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// What a server refuses it says at once; a task of the client hands it on.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(200);
const MAX_REFUSALS: usize = 16;

/// By a connection of its own, which is gone afterwards. Before the first start, by subjects of a deployment that there is not.
pub(crate) async fn examine(config: &BusConfig, cluster: Cluster, report: &mut Report) {
    let options = match entry::once(config).await {
        Ok(options) => options,
        Err(error) => {
            let remedy = "give the right file, readable for the user of the core";
            return report.find(Subject::Bus, error, remedy);
        }
    };
    let (told, refusals) = mpsc::channel(MAX_REFUSALS);
    let options = options.name(NAME).event_callback(move |event| {
        if let Event::ServerError(error) = event {
            // Those beyond it say the same.
            let _ = told.try_send(error.to_string());
        }
        ready(())
    });
    let client = match async_nats::connect_with_options(&config.url.0[..], options).await {
        Ok(client) => client,
        Err(error) => {
            let cause = format!("{}: {error}", config.url);
            return report.find(Subject::Bus, cause, remedy(&error.to_string()));
        }
    };
    if client.max_payload() < hint::MAX_BYTES {
        let cause = format!(
            "max_payload of NATS is {} bytes, and hints have up to {}: what is longer, other cores read from the \
             database",
            client.max_payload(),
            hint::MAX_BYTES
        );
        let remedy = format!("set max_payload of the NATS servers to {} or more", hint::MAX_BYTES);
        report.find(Subject::Bus, cause, remedy);
    }
    let cluster = match cluster {
        Cluster::Is(cluster) => Some(cluster),
        Cluster::New => Some(Uuid::new_v4()),
        // The user may have rights for that one alone.
        Cluster::Unknown => None,
    };
    match cluster {
        Some(cluster) => match round_trip(&client, &Subjects::new(cluster)).await {
            Ok((heard, mark)) => carry(&client, heard, mark, refusals, report).await,
            // It was connected just now.
            Err(error) => report.find(Subject::Bus, error, remedy("")),
        },
        None => {
            let version = client.server_info().version;
            report.note(Subject::Bus, format!("NATS {version} lets this core in"));
            let text =
                "whether it carries what is published: the database does not say under which name";
            report.skip(Subject::Bus, text);
        }
    }
    // An error is the end of the connection.
    let _ = client.drain().await;
}

/// Listens as a core does, and publishes to itself.
async fn round_trip(
    client: &Client,
    subjects: &Subjects,
) -> Result<(Subscriber, Bytes), async_nats::Error> {
    client.subscribe(subjects.of_all_users()).await?;
    let share = subjects.of_share(SHARES - 1);
    let heard = client.subscribe(share.clone()).await?;
    let mark = Bytes::copy_from_slice(&Uuid::new_v4().into_bytes()[..MARK_BYTES]);
    client.publish(share, mark.clone()).await?;
    client.flush().await?;
    Ok((heard, mark))
}

/// Waits for what was published, and for what the server has against it.
async fn carry(
    client: &Client,
    mut heard: Subscriber,
    mark: Bytes,
    mut refusals: Receiver<String>,
    report: &mut Report,
) {
    let sent = Instant::now();
    let comes_back = async {
        loop {
            match heard.next().await {
                Some(message) if message.payload == mark => return true,
                // Of other cores.
                Some(_) => {}
                None => return false,
            }
        }
    };
    let first = tokio::select! {
        has_come = timeout(ANSWER_TIMEOUT, comes_back) => Err(has_come.unwrap_or(false)),
        refusal = refusals.recv() => Ok(refusal),
    };
    let took = sent.elapsed();
    let mut refused: Vec<_> = first.as_ref().ok().cloned().flatten().into_iter().collect();
    while let Ok(Some(refusal)) = timeout(REFUSAL_TIMEOUT, refusals.recv()).await {
        refused.push(refusal);
    }
    refused.sort_unstable();
    refused.dedup();
    if !refused.is_empty() {
        let is_of_rights = refused.iter().all(|refusal| match kind_of(refusal) {
            Kind::MayNotPublish | Kind::MayNotListen => true,
            Kind::Disconnected
            | Kind::LameDuck
            | Kind::Refused
            | Kind::ServerError
            | Kind::ClientError
            | Kind::NotConnected(_)
            | Kind::Ended => false,
        });
        let remedy = if is_of_rights {
            "allow the user of NATS to publish and to subscribe to netrox-chat.>"
        } else {
            "look at the log of NATS"
        };
        report.find(Subject::Bus, format!("the server says: {}", refused.join("; ")), remedy);
    } else if first == Err(true) {
        let version = client.server_info().version;
        report.note(Subject::Bus, format!("NATS {version}, there and back in {took:.1?}"));
    } else {
        let cause = "what is published does not come back";
        report.find(Subject::Bus, cause, "look at the log and the load of NATS");
    }
}

fn remedy(error: &str) -> &'static str {
    match ConnectFailure::of(error) {
        ConnectFailure::Certificate => {
            "look at --bus-tls-ca-file, at the name in --bus-url, and at when the certificate of NATS ends"
        }
        ConnectFailure::Tls => {
            "the server does not begin with TLS: take --bus-tls-first out, or set handshake_first of NATS"
        }
        ConnectFailure::Denied => {
            "give a user that the server knows: --bus-url-file, --bus-credentials-file or --bus-nkey-file"
        }
        ConnectFailure::Refused => "start NATS, or mend the address in --bus-url",
        ConnectFailure::TimedOut => {
            "see whether NATS hangs or a firewall is in between; a server with handshake_first needs --bus-tls-first"
        }
        ConnectFailure::Other => "mend the address in --bus-url, or look at the log of NATS",
    }
}
