//! The sockets of an edge, as it reports them: all that there are first, then who comes and who leaves.

use std::time::Duration;

use netrox_proto::v1::{ReportSocketsRequest, ReportSocketsResponse};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, Streaming};

use super::{Presence, cores::LEASE, word::users};

/// How often an edge is told that it is heard.
const BEAT: Duration = Duration::from_secs(5);

impl Presence {
    /// Takes in what an edge reports, until it breaks off or says nothing for too long.
    pub(crate) async fn follow_edge(
        self,
        mut requests: Streaming<ReportSocketsRequest>,
        responses: mpsc::Sender<Result<ReportSocketsResponse, Status>>,
    ) {
        let reported = self.roll.report();
        let mut heard = tokio::time::Instant::now();
        loop {
            match timeout(LEASE, requests.message()).await {
                Ok(Ok(Some(ReportSocketsRequest { online, offline }))) => {
                    if !online.is_empty() {
                        reported.came(users(&online));
                    }
                    if !offline.is_empty() {
                        reported.left(users(&offline));
                    }
                }
                // It breaks off, or is gone without a word.
                Ok(Ok(None) | Err(_)) | Err(_) => return,
            }
            if heard.elapsed() >= BEAT {
                heard = tokio::time::Instant::now();
                // An edge that takes none is none the worse for it.
                let _ = responses.try_send(Ok(ReportSocketsResponse {}));
            }
        }
    }
}
