//! `DirectoryService`.

use std::{collections::HashMap, sync::Arc};

use netrox_audit::{Audit, Name};
use netrox_proto::v1::{self, directory_service_server::DirectoryService};
use tonic::{Request, Response, Status};

use crate::{
    audit::{Audited, caller},
    clock::now_micros,
    command::{
        Claims, UserChange,
        parse::{self, MAX_USERS},
    },
    committer::{Committer, DeleteUser, UpsertUsers},
    error::Error,
    notice::Notices,
    store::{Store, user::UserRow},
};

mod budget;
mod page;

pub(crate) use self::budget::Budgeted;
use self::page::Page;

/// In the audit trail, of a user whose messages are erased from then on.
const ERASING: &str = "ERASE_MESSAGES";

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) audit: Audit,
    /// Users who are called as others are.
    pub(crate) conflicts: Arc<Notices<()>>,
}

impl Directory {
    /// Whether a user who has no external id would be given another's. Every edge asks again and again, and each time it
    /// would be a write that is refused.
    async fn is_called_as_another(
        &self,
        user: &UserRow,
        change: &UserChange,
    ) -> Result<bool, Error> {
        let Some(called) = change.external_id.as_ref().filter(|_| user.is_called_nothing()) else {
            return Ok(false);
        };
        let owners = self.store.find_owners(&[called]).await?;
        let Some(owner) = owners.get(called).filter(|owner| **owner != user.id()) else {
            return Ok(false);
        };
        if let Some(untold) = self.conflicts.happened(()) {
            tracing::warn!(
                untold,
                user.id = %user.id(),
                owner.id = %owner,
                "the issuer of a user's tokens calls the user as the directory calls another, so that the user has no \
                 external id: give it to the right one with UpsertUsers, or delete the wrong one"
            );
        }
        Ok(true)
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn upsert_users(
        &self,
        request: Request<v1::UpsertUsersRequest>,
    ) -> Result<Response<v1::UpsertUsersResponse>, Status> {
        let caller = caller(request.extensions());
        let changes = parse::user_changes(request.into_inner().users)?;
        let ids = changes.iter().map(|change| change.id);
        let audited = Audited::begin(&self.audit, Name::UsersUpserted, caller, ids);
        let stored = async { self.committer.submit(UpsertUsers(changes))?.answer().await };
        let users = audited.end(stored.await)?;
        let users = users.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::UpsertUsersResponse { users }))
    }

    async fn ensure_user(
        &self,
        request: Request<v1::EnsureUserRequest>,
    ) -> Result<Response<v1::EnsureUserResponse>, Status> {
        let (now, caller) = (now_micros(), caller(request.extensions()));
        let mut claims = Claims::parse(request.into_inner(), now)?;
        let stored = self.store.find_entry(claims.change.id).await.map_err(Error::from)?;
        if let Some(user) = &stored
            && self.is_called_as_another(user, &claims.change).await?
        {
            claims.change.external_id = None;
        }
        let user = match stored {
            Some(user) if user.deleted => return Err(Error::UserDeleted.into()),
            Some(user) if user.keeps(&claims.change, claims.issued, now) => user,
            Some(_) | None => {
                let user = claims.change.id;
                let audited = Audited::begin(&self.audit, Name::UserProvisioned, caller, [user]);
                let stored = async { self.committer.submit(claims)?.answer().await };
                audited.end(stored.await)?
            }
        };
        Ok(Response::new(v1::EnsureUserResponse { user: Some(user.into()) }))
    }

    async fn get_users(
        &self,
        request: Request<v1::GetUsersRequest>,
    ) -> Result<Response<v1::GetUsersResponse>, Status> {
        let request = request.into_inner();
        let asked = request.user_ids.len().saturating_add(request.external_ids.len());
        if asked == 0 || asked > MAX_USERS {
            let problem = "not 1 to 1000 users";
            return Err(Error::InvalidField { field: "user_ids", problem }.into());
        }
        let user_id = |id: &String| parse::user_id("user_ids", id);
        let mut ids = request.user_ids.iter().map(user_id).collect::<Result<Vec<_>, _>>()?;
        let external_id = |id| parse::external_id("external_ids", id);
        let called = request.external_ids.into_iter().map(external_id);
        let called = called.collect::<Result<Vec<_>, _>>()?;
        if !called.is_empty() {
            let called: Vec<_> = called.iter().collect();
            let owners = self.store.find_owners(&called).await.map_err(Error::from)?;
            ids.extend(called.into_iter().filter_map(|id| owners.get(id)));
        }
        let rows = self.store.find_entries(&ids).await.map_err(Error::from)?;
        let mut found: HashMap<_, _> =
            rows.into_iter().filter(|row| !row.deleted).map(|row| (row.id(), row)).collect();
        let users = ids.iter().filter_map(|id| found.remove(id)).map(Into::into).collect();
        Ok(Response::new(v1::GetUsersResponse { users }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let page = Page::parse(&request.into_inner())?;
        Ok(Response::new(page.read(&self.store).await.map_err(Error::from)?))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let caller = caller(request.extensions());
        let v1::DeleteUserRequest { user_id, erase_messages } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let audited = Audited::begin(&self.audit, Name::UserDeleted, caller, [user]);
        let audited = if erase_messages { audited.noting(ERASING) } else { audited };
        let delete = DeleteUser { user, erases_messages: erase_messages };
        let deleted = async { self.committer.submit(delete)?.answer().await };
        audited.end(deleted.await)?;
        Ok(Response::new(v1::DeleteUserResponse { erasing_messages: erase_messages }))
    }
}
