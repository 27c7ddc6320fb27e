//! The conversations of a user at both servers. The documented API says nothing of their order.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead, BufReader},
};

use netrox_edge::config::UserIds;

use super::{
    compare::{Difference, Entries, Kind, compare},
    document::{Document, DocumentError},
    element::{Broken, Element, compare_frames},
    ledger::{Ledger, Where},
    rule::{THREAD, THREADS, user_id},
    server::Side,
    users::Named,
};

const LIST: &[&str] = &["entity"];
/// A phone holds all of it.
const MAX_LIST_BYTES: usize = 64 << 20;

/// With whom the user has a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) original: String,
    pub(super) candidate: String,
}

/// Gives all with whom there is a conversation at either. Fails if this machine does.
pub(super) fn compare_threads(
    lists: [File; 2],
    user: &Named,
    user_ids: &UserIds,
    ledger: &Ledger,
) -> Result<Vec<Peer>, String> {
    let at = Where::user(&user.id);
    let [mut original, mut candidate] = lists.map(|list| Document::new(BufReader::new(list), LIST));
    let read = read_all(&mut original, Side::Original)
        .and_then(|one| Ok([one, read_all(&mut candidate, Side::Candidate)?]));
    let documents = [original, candidate];
    let lists = match read {
        Ok(lists) => lists,
        Err(broken) => {
            broken.tell(THREADS, documents, &at, ledger)?;
            return Ok(Vec::new());
        }
    };
    let peers = peers(&lists, user, user_ids, &at, ledger);
    compare_lists(lists, &at, ledger);
    compare_frames(THREADS, documents, true, &at, ledger)?;
    Ok(peers)
}

fn read_all(document: &mut Document<impl BufRead>, side: Side) -> Result<Vec<Element>, Broken> {
    let (mut elements, mut bytes) = (Vec::new(), 0);
    while let Some(element) = Element::next(document).map_err(|error| Broken(side, error))? {
        bytes += element.json.len();
        if bytes > MAX_LIST_BYTES {
            let reason = DocumentError::Malformed("the list of threads is longer than 64 MiB");
            return Err(Broken(side, reason));
        }
        elements.push(element);
    }
    Ok(elements)
}

fn compare_lists(lists: [Vec<Element>; 2], at: &Where, ledger: &Ledger) {
    let [original, candidate] = lists;
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, element) in candidate.iter().enumerate().rev() {
        places.entry(&element.key).or_default().push(place);
    }
    let (mut is_ordered, mut newest, mut count) = (true, None, 0);
    for element in &original {
        let at = at_thread(at, element);
        let Some(place) = places.get_mut(element.key.as_str()).and_then(Vec::pop) else {
            let original = Some(element.json.as_str());
            let kind = Kind::Missing;
            let difference = Difference { path: THREAD, kind, original, candidate: None };
            ledger.tell(&at, difference, false);
            continue;
        };
        is_ordered &= newest < Some(place);
        newest = Some(place);
        count += 1;
        let mut path = THREAD.to_owned();
        compare(&mut path, &element.json, &candidate[place].json, &mut |difference| {
            ledger.tell(&at, difference, false);
        });
    }
    let mut extra: Vec<_> = places.into_values().flatten().collect();
    extra.sort_unstable();
    for place in extra {
        let element = &candidate[place];
        let at = at_thread(at, element);
        let candidate = Some(element.json.as_str());
        let difference = Difference { path: THREAD, kind: Kind::Extra, original: None, candidate };
        ledger.tell(&at, difference, false);
    }
    if !is_ordered {
        let kind = Kind::Order;
        let difference = Difference { path: THREAD, kind, original: None, candidate: None };
        ledger.tell(at, difference, false);
    }
    ledger.add(|totals| totals.threads += count);
}

fn at_thread(at: &Where, element: &Element) -> Where {
    Where { thread: element.id().map(str::to_owned), ..at.clone() }
}

/// The other one of each thread, in the order of their ids.
fn peers(
    lists: &[Vec<Element>; 2],
    user: &Named,
    user_ids: &UserIds,
    at: &Where,
    ledger: &Ledger,
) -> Vec<Peer> {
    let mut peers: BTreeMap<String, String> = BTreeMap::new();
    let is_mapped = match user_ids {
        UserIds::Mapped { .. } => true,
        UserIds::Uuids { .. } => false,
    };
    for (side, list) in [Side::Original, Side::Candidate].into_iter().zip(lists) {
        // Whom only a candidate with mapped ids knows, the original cannot be asked for.
        if side == Side::Candidate && is_mapped {
            continue;
        }
        for element in list {
            let Some(peer) = peer(&element.json, user, user_ids) else {
                let at = at_thread(at, element);
                let whose = side.name();
                ledger.fail(&at, format!("{whose}: it does not tell with whom the thread is"));
                continue;
            };
            peers.entry(peer.candidate).or_insert(peer.original);
        }
    }
    peers.into_iter().map(|(candidate, original)| Peer { original, candidate }).collect()
}

fn peer(json: &str, user: &Named, user_ids: &UserIds) -> Option<Peer> {
    let thread = Entries::of(json)?;
    let mut last = None;
    for key in ["user_one", "user_two"] {
        let original = user_id(Entries::of(thread.get(key)?)?.get("id")?)?;
        let candidate = user_ids.id_of(&original).ok()?.to_string();
        let is_other = candidate != user.candidate_id;
        last = Some(Peer { original, candidate });
        if is_other {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests;
