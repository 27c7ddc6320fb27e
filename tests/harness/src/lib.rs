//! What the end-to-end tests share: real processes of the program on loopback ports, users with
//! tokens, and clients that show what is on the wire.
//!
//! * [`chat`]: [`TestChat`], a running deployment; [`Arrangement`], which kind.
//! * [`edge`]: [`Edge`], one of its addresses.
//! * [`settings`]: [`Builder`], what a deployment is started with.
//! * [`database`] and [`engine`]: PostgreSQL and NATS, shared or of a test's own; [`proxy`]: the network
//!   before them.
//! * [`crowding`]: how much the machine's other work holds up a test.
//! * [`backup`]: databases that are copied, and that go back to their copy.
//! * [`process`]: one process of the program and what it logs; [`process::run`] for one that ends.
//! * [`user`] and [`token`]: end users and their access tokens; [`issuer`]: who publishes the keys of tokens.
//! * [`rest`]: HTTP requests as bytes and answers as text; [`multipart`]: bodies of uploads.
//! * [`reverse_proxy`]: proxies that end TLS, as `docs/PROXIES.md` shows them.
//! * [`socket`]: a WebSocket client.
//! * [`raw`]: a TCP connection, for what a well-behaved client cannot send.
//! * [`certificate`]: an authority that signs certificates; [`tls`]: a client of a server that shows one.
//! * [`s3`]: a server that speaks S3.
//! * [`collector`]: who collects traces.
//! * [`scrape`]: what a process shows of itself; [`alarms`]: who would be woken for it.
//! * [`small_disk`]: a disk that can be filled; [`hanging_disk`]: one that can be made to hang;
//!   [`recorded_disk`]: one that loses its power.
//! * [`grpc`]: clients of the core, as an internal service has them.
//! * [`last_words`]: what a failed test says at its very end.
//!
//! A test of behaviour takes an [`Arrangement`] and is named in [`each!`], which runs it in each.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

use std::{future::Future, pin::pin, time::Duration};

pub mod alarms;
pub mod backup;
pub mod certificate;
pub mod chat;
pub mod collector;
pub mod crowding;
pub mod database;
pub mod edge;
pub mod engine;
pub mod grpc;
pub mod hanging_disk;
pub mod issuer;
pub mod last_words;
pub mod multipart;
mod preload;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod recorded_disk;
pub mod rest;
pub mod reverse_proxy;
pub mod s3;
pub mod scrape;
pub mod settings;
pub mod small_disk;
pub mod socket;
pub mod tls;
pub mod token;
pub mod user;

pub use chat::{Arrangement, Role, TestChat};
pub use edge::Edge;
use last_words::LastWords;
pub use rest::Response;
pub use settings::{Builder, Engine, Store};
pub use socket::Socket;
pub use user::User;

/// How long a test waits for what must happen. Reached only where it does not happen: generous,
/// because the tests share the machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The most that a whole test may take.
const TEST_DEADLINE: Duration = Duration::from_secs(360);
/// The same with `NETROX_CHAT_TEST_FULL=1`.
const FULL_TEST_DEADLINE: Duration = Duration::from_secs(3600);
/// For each of so many random cases as `NETROX_CHAT_TEST_CASES` says, where that is more.
const CASE_DEADLINE: Duration = Duration::from_secs(60);

/// Awaits `future`, and fails the test naming `what` where it does not come within [`PATIENCE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks again until the answer is there; fails the test naming `what` after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// How many cases of a random test are asked for.
pub fn cases() -> Option<u32> {
    let cases = std::env::var("NETROX_CHAT_TEST_CASES").ok()?;
    Some(cases.parse().expect("a number"))
}

/// Runs one test body under a deadline. The body is dropped after the panic began, so that a
/// [`TestChat`] in it prints its logs; why the test failed is repeated behind them.
pub async fn run_test(body: impl Future<Output = ()>) {
    let _said = LastWords::begin();
    let mut body = pin!(body);
    let is_full = std::env::var_os("NETROX_CHAT_TEST_FULL").is_some();
    let deadline = if is_full { FULL_TEST_DEADLINE } else { TEST_DEADLINE };
    let deadline = deadline.max(CASE_DEADLINE * cases().unwrap_or(0));
    if tokio::time::timeout(deadline, &mut body).await.is_err() {
        panic!("the test took more than {deadline:?}");
    }
}

/// Makes a test of each named function, `async fn(Arrangement)`, for each arrangement:
/// `serve::name`, `split::name` and `cluster::name`. What only some of them can show is named after the
/// others, in this order: `each![first, second; sqlite: third; serve: fourth; split: fifth; cluster: sixth]`.
/// `sqlite` are the two on SQLite, for what is about its files.
#[macro_export]
macro_rules! each {
    (
        $($each:ident),* $(,)?
        $(; sqlite: $($sqlite:ident),+ $(,)?)?
        $(; serve: $($serve:ident),+ $(,)?)?
        $(; split: $($split:ident),+ $(,)?)?
        $(; cluster: $($cluster:ident),+ $(,)?)?
    ) => {
        mod serve {
            $( $crate::arranged!(Serve, $each); )*
            $( $( $crate::arranged!(Serve, $sqlite); )+ )?
            $( $( $crate::arranged!(Serve, $serve); )+ )?
        }
        mod split {
            $( $crate::arranged!(Split, $each); )*
            $( $( $crate::arranged!(Split, $sqlite); )+ )?
            $( $( $crate::arranged!(Split, $split); )+ )?
        }
        mod cluster {
            $( $crate::arranged!(Cluster, $each); )*
            $( $( $crate::arranged!(Cluster, $cluster); )+ )?
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! arranged {
    ($arrangement:ident, $name:ident) => {
        #[tokio::test]
        async fn $name() {
            $crate::run_test(super::$name($crate::Arrangement::$arrangement)).await;
        }
    };
}
