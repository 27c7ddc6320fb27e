//! Quotas of users, which a core keeps (PROTOCOL section 5), and how long the links are good that it makes for them.

use std::time::Duration;

use clap::Args;
use netrox_core::{LONGEST_LINK, NewConversations, Quotas};

use super::value::{Rate, duration, number, rate};

const SHORTEST_LINK: Duration = Duration::from_secs(1);

const TIB: u64 = 1024 * 1024 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct QuotaArgs {
    /// Conversations that a user may begin in a time, such as 20/1h; beyond it 429, `rate_limited` [default: no limit]
    ///
    /// Counted over all cores. Replies, and messages of conversations that exist, are never refused so.
    #[arg(long, value_name = "N/TIME", value_parser = rate)]
    new_conversations_rate: Option<Rate>,

    /// Bytes of the files that a user has sent and not deleted; beyond it 413 [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = number::<u64>(1..=1024 * TIB))]
    max_storage_per_user: Option<u64>,

    /// Time for which an expiring link to a file is good (POST /v2/ticket); beyond it 404
    #[arg(long, value_name = "TIME", default_value = "300s")]
    #[arg(value_parser = duration(SHORTEST_LINK..=LONGEST_LINK))]
    pub(crate) link_ttl: Duration,
}

impl QuotaArgs {
    pub(crate) fn to_quotas(&self) -> Quotas {
        let contacts = |rate: Rate| NewConversations { count: rate.count, period: rate.period };
        Quotas {
            new_conversations: self.new_conversations_rate.map(contacts),
            storage_bytes: self.max_storage_per_user,
        }
    }
}
