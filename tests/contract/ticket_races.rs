//! Tickets, where several cores are asked at the same time, and die meanwhile: none is ever taken twice.

use std::collections::HashMap;

use netrox_harness::{Arrangement, TestChat, eventually, run_test};
use netrox_proto::v1::{ErrorReason, Failure};
use tokio::task::JoinSet;
use tonic::Status;

use crate::{
    refusal::assert_refused,
    running::{Connection, authorized, connect_to},
};

const CORES: usize = 3;
const TICKETS: usize = 40;

async fn connections(chat: &TestChat) -> Vec<Connection> {
    let mut cores = Vec::new();
    for role in chat.core_roles() {
        cores.push(authorized(connect_to(chat.grpc_address_of(role)).await));
    }
    cores
}

/// Each of the tickets at each of the cores, all at once, in an order of its own at each. Gives who said yes, and what others said.
fn redeem_all(cores: &[Connection], tickets: &[String]) -> JoinSet<(usize, Result<(), Status>)> {
    let mut calls = JoinSet::new();
    for (number, core) in cores.iter().enumerate() {
        for index in 0..tickets.len() {
            let index = (index * 7 + number * 13) % tickets.len();
            let (core, ticket) = (core.clone(), tickets[index].clone());
            calls.spawn(async move { (index, core.redeem(&ticket, None).await.map(drop)) });
        }
    }
    calls
}

/// What a core says that is not too busy for it.
async fn settled(core: &Connection, ticket: &str) -> Result<(), Status> {
    eventually("an answer", async || match core.redeem(ticket, None).await {
        Ok(_) => Some(Ok(())),
        Err(status) if Failure::from(&status).reason() == ErrorReason::TicketUnknown => {
            Some(Err(status))
        }
        Err(_) => None,
    })
    .await
}

async fn make(core: &Connection) -> Vec<String> {
    let [ada] = core.users().await;
    let mut tickets = Vec::new();
    for _ in 0..TICKETS {
        tickets.push(core.ticket(&ada).await);
    }
    tickets
}

#[tokio::test(flavor = "multi_thread")]
async fn one_core_of_several_takes_it_whoever_made_it() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0).start().await;
        let cores = connections(&chat).await;
        let tickets = make(&cores[0]).await;
        let mut calls = redeem_all(&cores, &tickets);
        let mut taken = HashMap::new();
        while let Some(answer) = calls.join_next().await {
            match answer.expect("no panic") {
                (index, Ok(())) => *taken.entry(index).or_insert(0) += 1,
                (_, refused) => assert_refused(refused, ErrorReason::TicketUnknown),
            }
        }
        assert_eq!(taken.len(), TICKETS, "each is taken");
        assert!(taken.values().all(|count| *count == 1), "{taken:?}");
        // What one core signs with, the others verify by.
        assert_eq!(chat.count("select count(*) from ticket_keys").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_killed_meanwhile_lets_none_be_taken_twice() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0).start().await;
        for _ in 0..4 {
            let cores = connections(&chat).await;
            let tickets = make(&cores[0]).await;
            let mut calls = redeem_all(&cores, &tickets);
            let victim = chat.core_roles()[CORES - 1];
            let mut taken = HashMap::new();
            let mut note = |answer: (usize, Result<(), Status>)| {
                if let (index, Ok(())) = answer {
                    *taken.entry(index).or_insert(0) += 1;
                }
            };
            // In the middle.
            for _ in 0..TICKETS {
                note(calls.join_next().await.expect("more").expect("no panic"));
            }
            chat.kill(victim);
            while let Some(answer) = calls.join_next().await {
                note(answer.expect("no panic"));
            }
            // Whatever the dead one took, it took for good.
            for (index, ticket) in tickets.iter().enumerate() {
                note((index, settled(&cores[index % (CORES - 1)], ticket).await));
            }
            assert!(taken.values().all(|count| *count == 1), "{taken:?}");
            let spent = chat.count("select count(*) from spent_tickets").await;
            assert_eq!(spent % TICKETS as i64, 0, "each is spent, whoever was told");
            chat.spawn(victim).await;
        }
    })
    .await;
}
