//! `DirectoryService`.

use std::collections::HashMap;

use netrox_audit::{Audit, Name};
use netrox_proto::v1::{self, directory_service_server::DirectoryService};
use tonic::{Request, Response, Status};

use crate::{
    audit::{Audited, caller},
    clock::now_micros,
    command::{
        Claims,
        parse::{self, MAX_USERS},
    },
    committer::{Committer, DeleteUser, UpsertUsers},
    error::Error,
    store::Store,
};

mod budget;

pub(crate) use self::budget::Budgeted;

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) audit: Audit,
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
        let claims = Claims::parse(request.into_inner(), now)?;
        let stored = self.store.find_user(claims.change.id).await.map_err(Error::from)?;
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
        let ids = request.into_inner().user_ids;
        if ids.is_empty() || ids.len() > MAX_USERS {
            let problem = "not 1 to 1000 users";
            return Err(Error::InvalidField { field: "user_ids", problem }.into());
        }
        let ids =
            ids.iter().map(|id| parse::user_id("user_ids", id)).collect::<Result<Vec<_>, _>>()?;
        let rows = self.store.find_users(&ids).await.map_err(Error::from)?;
        let mut found: HashMap<_, _> =
            rows.into_iter().filter(|row| !row.deleted).map(|row| (row.id(), row)).collect();
        let users = ids.iter().filter_map(|id| found.remove(id)).map(Into::into).collect();
        Ok(Response::new(v1::GetUsersResponse { users }))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let caller = caller(request.extensions());
        let user = parse::user_id("user_id", &request.into_inner().user_id)?;
        let audited = Audited::begin(&self.audit, Name::UserDeleted, caller, [user]);
        let deleted = async { self.committer.submit(DeleteUser(user))?.answer().await };
        audited.end(deleted.await)?;
        Ok(Response::new(v1::DeleteUserResponse {}))
    }
}
