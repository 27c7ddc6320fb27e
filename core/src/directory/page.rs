//! A page of all users, in the order of their ids.

use netrox_proto::v1;
use uuid::Uuid;

use crate::{
    command::parse::{self, MAX_USERS},
    error::Error,
    store::{self, Store},
};

const DEFAULT_USERS: usize = 100;
/// Of the texts of a page: with the rest of it below what clients take by default.
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Page {
    /// The first user may have this id.
    from: Uuid,
    users: usize,
}

impl Page {
    pub(super) fn parse(request: &v1::ListUsersRequest) -> Result<Self, Error> {
        let users = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_USERS,
            Ok(users) if users <= MAX_USERS => users,
            Ok(_) | Err(_) => {
                let problem = "not from 0 to 1000";
                return Err(Error::InvalidField { field: "page_size", problem });
            }
        };
        let from = match request.page_token.as_str() {
            "" => Uuid::nil(),
            token => {
                let problem = "not a token of a page before";
                let invalid = |_| Error::InvalidField { field: "page_token", problem };
                parse::user_id("page_token", token).map_err(invalid)?.0
            }
        };
        Ok(Self { from, users })
    }

    pub(super) async fn read(&self, store: &Store) -> Result<v1::ListUsersResponse, store::Error> {
        // The one behind the page tells that there is another, and where it begins.
        let limit = i64::try_from(self.users + 1).unwrap_or(i64::MAX);
        let mut page = v1::ListUsersResponse::default();
        let mut bytes = 0;
        for row in store.list_entries(self.from, limit).await? {
            bytes += row.size();
            let is_full = page.users.len() == self.users || bytes > MAX_BYTES;
            if is_full && !page.users.is_empty() {
                page.next_page_token = row.id().to_string();
                break;
            }
            page.users.push(row.into());
        }
        Ok(page)
    }
}
