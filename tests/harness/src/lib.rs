//! What the end-to-end tests share: real processes of the program on loopback ports, users with
//! tokens, and clients that show what is on the wire.
//!
//! * [`chat`]: [`TestChat`], a running deployment; [`Arrangement`], which kind.
//! * [`edge`]: [`Edge`], one of its addresses.
//! * [`settings`]: [`Builder`], what a deployment is started with.
//! * [`process`]: one process of the program and what it logs; [`process::run`] for one that ends.
//! * [`user`] and [`token`]: end users and their access tokens.
//! * [`rest`]: HTTP requests as bytes and answers as text; [`multipart`]: bodies of uploads.
//! * [`socket`]: a WebSocket client.
//! * [`raw`]: a TCP connection, for what a well-behaved client cannot send.
//! * [`small_disk`]: a disk that can be filled.
//! * [`grpc`]: clients of the core, as an internal service has them.
//!
//! A test of behaviour takes an [`Arrangement`] and is named in [`both!`], which runs it in each.

use std::{future::Future, pin::pin, time::Duration};

pub mod chat;
pub mod edge;
pub mod grpc;
pub mod multipart;
pub mod process;
pub mod raw;
pub mod rest;
pub mod settings;
pub mod small_disk;
pub mod socket;
pub mod token;
pub mod user;

pub use chat::{Arrangement, Role, TestChat};
pub use edge::Edge;
pub use rest::Response;
pub use settings::Builder;
pub use socket::Socket;
pub use user::User;

/// How long a test waits for what must happen. Reached only where it does not happen: generous,
/// because the tests share the machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The most that a whole test may take.
const TEST_DEADLINE: Duration = Duration::from_secs(240);

/// Awaits `future`, and fails the test naming `what` where it does not come within [`PATIENCE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks again until the answer is there; fails the test naming `what` after [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
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

/// Runs one test body under a deadline. The body is dropped after the panic began, so that a
/// [`TestChat`] in it prints its logs.
pub async fn run_test(body: impl Future<Output = ()>) {
    let mut body = pin!(body);
    if tokio::time::timeout(TEST_DEADLINE, &mut body).await.is_err() {
        panic!("the test took more than {TEST_DEADLINE:?}");
    }
}

/// Makes a test of each named function, `async fn(Arrangement)`, for each arrangement:
/// `serve::name` and `split::name`. What only one of them can show is named after the others:
/// `both![first, second; serve: third; split: fourth]`.
#[macro_export]
macro_rules! both {
    ($($both:ident),* $(; serve: $($serve:ident),+)? $(; split: $($split:ident),+)?) => {
        mod serve {
            $( $crate::arranged!(Serve, $both); )*
            $( $( $crate::arranged!(Serve, $serve); )+ )?
        }
        mod split {
            $( $crate::arranged!(Split, $both); )*
            $( $( $crate::arranged!(Split, $split); )+ )?
        }
    };
    ($($both:ident,)*) => { $crate::both![$($both),*]; };
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
