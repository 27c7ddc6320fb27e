//! Clients of the second generation in the traffic: two users who write to each other, from two devices each.
//!
//! They are as PROTOCOL-2 section 10 wants them: what is not answered is repeated on the next connection, which goes on from
//! the cursor that was stored with the last frame. None gives up.

mod device;
mod lane;
mod notes;
mod plan;
mod verify;

use std::{collections::BTreeMap, sync::Arc};

use netrox_harness::{Edge, TestChat, User};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::device::Device;

const DEVICES: usize = 2;

pub(super) struct Second {
    /// Each writes to the other.
    users: [User; 2],
    /// Those of the first user, and then those of the second.
    devices: Vec<Arc<Device>>,
}

impl Second {
    /// All are up to date before the first of them writes.
    pub(super) async fn start(
        chat: &TestChat,
        edges: &[Edge],
        stop: &CancellationToken,
        end: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let users = [chat.user("second-0").await, chat.user("second-1").await];
        let mut devices = Vec::new();
        let mut sockets = Vec::new();
        for index in 0..users.len() * DEVICES {
            let user = index / DEVICES;
            let (own, peer) = (users[user].clone(), &users[1 - user]);
            let device = Arc::new(Device::new(own, peer, index, edges));
            sockets.push(device.begin().await);
            devices.push(device);
        }
        for (device, socket) in devices.iter().zip(sockets) {
            let work = Arc::clone(device).run(socket, stop.clone());
            tasks.spawn(super::until(end.clone(), work));
        }
        Self { users, devices }
    }

    /// How many requests were answered with each code.
    pub(super) fn errors(&self) -> BTreeMap<String, usize> {
        let mut errors = BTreeMap::new();
        for device in &self.devices {
            for (code, count) in device.notes().errors() {
                *errors.entry(code.clone()).or_default() += count;
            }
        }
        errors
    }

    /// How many connections came to their end.
    pub(super) fn ends(&self) -> usize {
        self.devices.iter().map(|device| device.notes().ends()).sum()
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        let acks: usize = self.devices.iter().map(|device| device.notes().acks()).sum();
        format!("{acks} acks, errors {:?}, {} connections ended", self.errors(), self.ends())
    }

    /// What each device was shown last, for people.
    pub(super) fn last_frames(&self) -> String {
        let of = |device: &Arc<Device>| device.notes().last_frames();
        self.devices.iter().map(of).collect::<Vec<_>>().join("\n")
    }
}
