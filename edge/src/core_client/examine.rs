//! Whether the cores of an edge can be used, for the operator. They are asked for nothing that changes anything: a stream that
//! is opened and ended tells whether the service token lets an edge in.

use std::{collections::BTreeSet, io, time::Duration};

use futures_util::future::join_all;
use http::{HeaderValue, Uri};
use netrox_diagnosis::{Report, Subject};
use netrox_tls::ClientTls;
use tokio::{
    net::lookup_host,
    time::{Instant, sleep, timeout},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{
    CoreClient, CoreTransport,
    connections::{CoreName, FOLLOWS_CHAT_WITHIN, Link},
    reach::Trouble,
};

/// For a name to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// For a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(20);

/// What is wrong with one core or its address.
struct Fault {
    place: String,
    kind: Kind,
    cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Trouble(Trouble),
    Silent,
    NotServing,
}

/// As an edge with these settings would reach them. The same fault of several cores is one finding.
pub(crate) async fn examine(
    cores: Vec<Uri>,
    tls: Option<ClientTls>,
    authorization: HeaderValue,
    report: &mut Report,
) {
    let looks = cores.into_iter().map(|core| look(core, tls.clone(), authorization.clone()));
    let mut faults: Vec<(Kind, Vec<String>, String)> = Vec::new();
    for (core, found, addresses) in join_all(looks).await {
        if found.is_empty() {
            // A call goes to one of them; the others are reached.
            let which = match addresses {
                0 | 1 => String::new(),
                addresses => format!(", as one of its {addresses} addresses says"),
            };
            report.note(Subject::Cores, format!("{core} lets this edge in and serves{which}"));
        }
        for Fault { place, kind, cause } in found {
            match faults.iter_mut().find(|(known, _, _)| *known == kind) {
                Some((_, places, _)) => places.push(place),
                None => faults.push((kind, vec![place], cause)),
            }
        }
    }
    for (kind, places, cause) in faults {
        let (problem, remedy) = words(kind);
        let places = places.join(", ");
        report.find(Subject::Cores, format!("{places} {problem}: {cause}"), remedy);
    }
}

fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Name => ("cannot be looked up", "mend the name in --core, or look at DNS"),
        Kind::Trouble(Trouble::Unreachable) => (
            "cannot be reached",
            "start the core, or mend --core: its address, and https where the core has --grpc-tls-cert-file",
        ),
        Kind::Trouble(Trouble::Untrusted) => (
            "and this edge do not trust each other (TLS)",
            "--core-ca-file must have the authority of the core's certificate, which must be for the name in --core; \
             --core-client-cert-file must be one of the core's --grpc-tls-client-ca-file",
        ),
        Kind::Trouble(Trouble::Unauthorized) => (
            "does not know this edge's service token",
            "give the edge one that the core has: --service-token-file",
        ),
        Kind::Trouble(Trouble::NotAllowed) => (
            "does not let this edge do its work",
            "give its service the scope edge in the core's --service-tokens-file",
        ),
        Kind::Trouble(Trouble::NotACore) => (
            "is no core",
            "mend --core: it takes the core's --grpc-addr, and no proxy that does not speak gRPC",
        ),
        Kind::Silent => ("does not answer", "see whether the core hangs"),
        Kind::NotServing => {
            ("does not serve", "look at that core: run netrox-chat doctor core with its settings")
        }
    }
}

async fn look(
    core: Uri,
    tls: Option<ClientTls>,
    authorization: HeaderValue,
) -> (String, Vec<Fault>, usize) {
    let name = core.to_string();
    let fault = |kind, cause: String| vec![Fault { place: name.clone(), kind, cause }];
    let addresses = match CoreName::of(core.clone()) {
        Some(core) => timeout(LOOKUP_TIMEOUT, addresses(&core)).await,
        None => return (name.clone(), fault(Kind::Name, "it has none".to_owned()), 0),
    };
    let addresses = match addresses {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return (name.clone(), fault(Kind::Name, error.to_string()), 0),
        Err(_) => return (name.clone(), fault(Kind::Name, "no answer in time".to_owned()), 0),
    };
    let client = CoreClient::new(CoreTransport::remote([core], tls), authorization);
    let is_settled = || {
        let connected = client.connections().div_ceil(Link::Chat.connections());
        connected + client.reach.troubles().len() >= addresses
    };
    let deadline = Instant::now() + FOLLOWS_CHAT_WITHIN;
    while !is_settled() && Instant::now() < deadline {
        sleep(INTERVAL).await;
    }
    let mut faults = troubles(&client);
    if client.connections() == 0 {
        if faults.is_empty() {
            faults = fault(Kind::Silent, "no connection stands in time".to_owned());
        }
        return (name, faults, addresses);
    }
    // One that is refused is in trouble already.
    if faults.is_empty() {
        faults.extend(ask(&client).await.map(|(kind, cause)| Fault {
            place: name.clone(),
            kind,
            cause,
        }));
        faults.extend(troubles(&client));
    }
    (name, faults, addresses)
}

async fn addresses(core: &CoreName) -> io::Result<usize> {
    let found = lookup_host((core.host(), core.port())).await?;
    Ok(found.collect::<BTreeSet<_>>().len())
}

fn troubles(client: &CoreClient) -> Vec<Fault> {
    let troubles = client.reach.troubles().into_iter();
    let fault = |(place, trouble, cause)| Fault { place, kind: Kind::Trouble(trouble), cause };
    troubles.map(fault).collect()
}

/// What a core that is connected says of itself, and of this edge. A refusal of the edge is noted where it is met.
async fn ask(client: &CoreClient) -> Option<(Kind, String)> {
    let silent = || Some((Kind::Silent, "no answer in time".to_owned()));
    // A stream that ends before it has named an edge is refused, but not before the token is looked at.
    let mut sessions = client.sessions.clone();
    let watch = sessions.watch_sessions(tokio_stream::empty());
    if timeout(CALL_TIMEOUT, watch).await.is_err() {
        return silent();
    }
    if client.reach.trouble().is_some() {
        return None;
    }
    let mut health = client.health.clone();
    match timeout(CALL_TIMEOUT, health.check(HealthCheckRequest::default())).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => None,
        Ok(Ok(_)) => Some((Kind::NotServing, "its health is NOT_SERVING".to_owned())),
        // A core without that service serves.
        Ok(Err(status)) if status.code() == Code::Unimplemented => None,
        Ok(Err(status)) => Some((Kind::NotServing, status.message().to_owned())),
        Err(_) => silent(),
    }
}
