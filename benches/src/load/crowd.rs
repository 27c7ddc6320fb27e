//! Many connections that mostly do nothing.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::timeout;

use crate::{
    Result,
    client::{
        Socket, User,
        message::{self, Received, Stamp, Template},
    },
    ledger::{Ledger, Verdict},
    server::Target,
};

/// Handshakes at a time, where they are not to come all at once.
const HANDSHAKES: usize = 64;
/// Those who write to the crowd.
const SPEAKERS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects every user, in order.
pub(crate) async fn connect(target: &Target, users: &[User]) -> Result<Vec<Socket>> {
    let handshakes =
        users.iter().enumerate().map(|(number, user)| Socket::open(target.door(number), user));
    stream::iter(handshakes).buffered(HANDSHAKES).try_collect().await
}

/// Sends one message to everybody in the crowd and waits until each has received it, once.
pub(crate) async fn reach(
    target: &Target,
    users: &[User],
    sockets: &mut [Socket],
) -> Result<Verdict> {
    let speakers = connect(target, &target.users(SPEAKERS)?).await?;
    for (number, user) in users.iter().enumerate() {
        let stamp = Stamp { sender: number as u32, number: 0, nanos: 0 };
        let mut template = Template::new(user.id, message::MIN_BODY_BYTES);
        speakers[number % SPEAKERS].sender().send(template.stamped(stamp)).await?;
    }
    let mut verdict = Verdict::default();
    for (number, socket) in sockets.iter_mut().enumerate() {
        let mut ledger = Ledger::default();
        let received = timeout(PATIENCE, async {
            loop {
                if let Some(payload) = socket.next()? {
                    break message::received(payload);
                }
                socket.fill().await?;
            }
        });
        if let Ok(received) = received.await {
            let Received { id, stamp } = received?;
            if stamp.sender as usize != number {
                return Err("a message reached someone else".into());
            }
            ledger.arrived(stamp.number, id);
        }
        // Whatever else was read belongs to nobody.
        if socket.next()?.is_some() {
            ledger.arrived(0, 0);
        }
        verdict += ledger.close(1);
    }
    Ok(verdict)
}
