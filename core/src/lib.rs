//! The chat logic of netrox-chat, behind the gRPC contract.
//!
//! * [`chat`], [`attachment`], [`directory`], [`session`]: the services; they check and answer.
//! * [`ticket`]: what clients show in the place of an access token.
//! * [`admin`]: what whoever runs the service looks at.
//! * [`command`]: requests as validated commands.
//! * [`committer`]: group commit, the one way to change anything.
//! * [`store`]: the database; [`media`]: the attachment bytes.
//! * [`audit`]: what services did to users, told to the audit trail.
//! * [`change`]: what users learn of.
//! * [`delivery`]: tells this core's subscriptions and the other cores what was committed; [`subscribe`]: one
//!   subscription; [`feed_lookup`]: where feeds end.
//! * [`auth`], [`server`], [`strangers`], [`health`]: who may call, over which socket, and whether it makes sense.
//! * [`indexer`]: indexes for search what was stored without an index.
//! * [`lifecycle`], [`lock`]: opening and closing, and what keeps a second process away.
//! * [`transfer`]: a whole chat as JSON lines and files, and the way back.
//! * [`original`]: the database of the Django original, to be read alone.
//! * [`mod@check`]: settings, without a start; [`doctor`]: what is wrong with what a core works on.
//! * [`backup`]: copies of a SQLite database and its files, and the way back.
//! * [`lines`]: the lines of exports and imports.
//! * [`notice`]: what is logged once a minute at most.
//! * [`metrics`]: what can be measured.
//! * [`reading`]: what streams read, whoever looks at them.
//! * [`request`]: what a request is called on its way; [`trace`]: the spans of those that are traced.
//! * [`error`]: every failure, mapped once to the reasons of the contract.
//!
//! The services depend on the committer, store, delivery and media; none of these knows gRPC's statuses or
//! each other, but for the committer, which writes the store and has what it wrote delivered.

#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else"))]

mod admin;
mod attachment;
mod audit;
mod auth;
mod backup;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod change;
mod chat;
mod check;
mod clock;
mod command;
mod committer;
mod config;
mod delivery;
mod directory;
mod doctor;
mod epoch;
mod erasure;
mod error;
mod feed_lookup;
mod health;
mod indexer;
mod lifecycle;
pub mod lines;
mod lock;
mod media;
mod metrics;
mod migrate;
mod notice;
mod original;
mod pace;
mod presence;
mod quotas;
mod reading;
mod request;
mod retention;
mod server;
mod session;
mod store;
mod strangers;
mod subscribe;
mod ticket;
mod trace;
mod transfer;

pub use auth::{
    Administrators, NotAdministrator, Scope, ServicesError, ServicesFile, TokenHash,
    check_service_name, service_token,
};
pub use backup::{
    BackedUp, BackupError, BackupSettings, Checked, Damage, RestoreSettings, Restored, back_up,
    check_backup, restore,
};
pub use check::check;
pub use config::{
    AcceptedSettings, BusConfig, BusUrl, Config, Database, DatabaseSetting, MediaLocation,
    PostgresDatabase, PostgresUrl, S3Url, UrlError,
};
pub use delivery::bus::OpenError as BusError;
pub use doctor::examine;
pub use epoch::renew_epoch;
pub use lifecycle::{Core, OpenError, Vanished};
pub use media::StoreError as MediaError;
pub use metrics::Metrics;
pub use migrate::{MigrateError, migrate};
pub use original::{Mapping, OriginalError, OriginalPlace};
pub use quotas::{NewConversations, Quotas};
pub use store::{
    OpenError as DatabaseError,
    copy::{Copied, CopiedTable, CopyError},
    snapshot::SnapshotError,
};
pub use ticket::LONGEST_LINK;
pub use transfer::{
    BadLine, CountedIds, Exported, Followed, Imported, LeftOut, MappedIds, OriginalSettings,
    TransferError, TransferSettings, WayBack, export, export_django, follow, import,
};
