//! Places in what a user is shown, as clients of the second generation keep them.

use netrox_harness::{Edge, User, eventually};
use serde_json::json;

use super::device::{Device, PAGE, assert_gone, assert_reset, assert_same, connect, snapshot};
use crate::v2::{client::Held, view::Rest};

/// More pages than there are.
const ALL: usize = 1_000;

/// Goes on from the cursor to the end of the feed.
async fn read_on(edge: Edge, user: &User, held: &mut Held) {
    eventually("the rest of a feed", async || {
        (Rest { edge, user }.sync(held, PAGE, ALL).await == Some(true)).then_some(())
    })
    .await;
}

/// One place as it was told in each way, with what a client held there: by the sockets of devices, as the end of the
/// feed, and in a snapshot.
#[derive(Debug)]
pub(super) struct Places(Vec<Held>);

impl Places {
    /// Where devices of a user are, which were shown everything.
    pub(super) async fn of(edge: Edge, devices: impl Iterator<Item = &Device>) -> Self {
        let mut user = None;
        let mut places = Vec::new();
        for device in devices {
            user = Some(&device.user);
            places.push(Held { rung: Default::default(), ..device.held.clone() });
        }
        let user = user.expect("a device");
        let mut synced = places[0].clone();
        read_on(edge, user, &mut synced).await;
        assert_eq!(synced.rung.len(), 0, "nothing was missed");
        let mut listed = Held::default();
        snapshot(edge, user, &mut listed).await;
        places.extend([synced, listed]);
        Self(places)
    }

    /// One that a device had.
    pub(super) fn cursor(&self) -> &str {
        self.0[0].cursor.as_deref().expect("a cursor")
    }

    /// Whoever goes on at it, by socket or by REST, is shown these messages, and holds what the server does.
    pub(super) async fn go_on(&self, edges: &[Edge], user: &User, due: &[(i64, &str)]) {
        for (place, edge) in self.0.iter().zip(edges.iter().cycle()) {
            let mut held = place.clone();
            let mut client = connect(*edge, user, place.cursor.as_deref()).await;
            let told = [&client.hello["resumed"], &client.hello["reset"]];
            assert_eq!(told, [&json!(true), &json!(null)], "{}", client.hello);
            held.take(user, &client.hello);
            let mut shown = Vec::new();
            loop {
                let frame = client.socket.next().await;
                held.take(user, &frame);
                if frame["action"] == "live" {
                    break;
                }
                assert_eq!(frame["new"], true, "{frame}");
                let text = frame["message"]["message"].as_str().expect("a text").to_owned();
                shown.push((frame["message"]["id"].as_i64().expect("an id"), text));
            }
            let shown: Vec<_> = shown.iter().map(|(id, text)| (*id, &**text)).collect();
            assert_eq!(shown, due, "behind {:?}", place.cursor);
            assert_same(*edge, user, &mut held).await;

            let mut held = place.clone();
            read_on(*edge, user, &mut held).await;
            let ids: Vec<_> = due.iter().map(|(id, _)| *id).collect();
            assert_eq!(held.rung.iter().copied().collect::<Vec<_>>(), ids);
            assert_same(*edge, user, &mut held).await;
        }
    }

    /// Whoever comes back with it, by socket or by REST, is told that it is lost.
    pub(super) async fn are_lost(&self, edges: &[Edge], user: &User) {
        for (place, edge) in self.0.iter().zip(edges.iter().cycle()) {
            let cursor = place.cursor.as_deref().expect("a cursor");
            assert_reset(&connect(*edge, user, Some(cursor)).await.hello);
            assert_gone(*edge, user, cursor).await;
        }
    }
}
