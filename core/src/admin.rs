//! `AdminService`: what whoever runs the service looks at, of one user. Each call is told to the audit trail.
//!
//! * [`record`]: what is kept of a user beside messages.
//! * [`export`]: all of a user's data.
//! * [`tap`]: what a user's devices learn, as they learn it.

use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use netrox_audit::{Audit, Name};
use netrox_proto::{
    external_id::ExternalId,
    ids::UserId,
    v1::{self, admin_service_server::AdminService},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    attachment::DamagedFiles,
    audit::{Audited, caller},
    chat::Chat,
    command::parse,
    error::Error,
    media::Media,
    session::Sessions,
};

mod export;
mod record;
mod tap;

#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) chat: Chat,
    pub(crate) sessions: Sessions,
    pub(crate) media: Media,
    pub(crate) damaged: DamagedFiles,
    pub(crate) draining: CancellationToken,
    pub(crate) audit: Audit,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_user_record(
        &self,
        request: Request<v1::GetUserRecordRequest>,
    ) -> Result<Response<v1::GetUserRecordResponse>, Status> {
        let caller = caller(request.extensions());
        let who = Who::try_from(request.into_inner())?;
        let audited = Audited::begin(&self.audit, Name::UserShown, caller, []);
        let user = match self.user(who).await {
            Ok(user) => user,
            Err(error) => return Err(audited.refuse(error).into()),
        };
        let audited = audited.about(user);
        let found = audited.end(record::find(&self.chat.store, user).await)?;
        Ok(Response::new(v1::GetUserRecordResponse { record: Some(found.record) }))
    }

    type ExportUserStream = ReceiverStream<Result<v1::ExportUserResponse, Status>>;

    async fn export_user(
        &self,
        request: Request<v1::ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        let caller = caller(request.extensions());
        let v1::ExportUserRequest { user_id, with_blocks } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let audited = Audited::begin(&self.audit, Name::UserExported, caller, [user]);
        if self.draining.is_cancelled() {
            return Err(audited.refuse(Error::ShuttingDown).into());
        }
        match record::find(&self.chat.store, user).await {
            Ok(found) => {
                Ok(Response::new(export::spawn(self.clone(), found, with_blocks, audited)))
            }
            Err(error) => Err(audited.refuse(error).into()),
        }
    }

    type TapUserStream = BoxStream<'static, Result<v1::SubscribeResponse, Status>>;

    async fn tap_user(
        &self,
        request: Request<v1::TapUserRequest>,
    ) -> Result<Response<Self::TapUserStream>, Status> {
        let caller = caller(request.extensions());
        let v1::TapUserRequest { user_id, bodies } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let audited = Audited::begin(&self.audit, Name::UserTapped, caller, [user]);
        let audited = if bodies { audited.noting(tap::WITH_BODIES) } else { audited };
        let responses = audited.end(self.chat.tap(user).await)?;
        if bodies {
            return Ok(Response::new(responses.boxed()));
        }
        Ok(Response::new(responses.map_ok(tap::redacted).boxed()))
    }
}

impl Admin {
    async fn user(&self, who: Who) -> Result<UserId, Error> {
        match who {
            Who::Id(id) => Ok(id),
            Who::Called(id) => {
                let owners = self.chat.store.find_owners(&[&id]).await?;
                owners.get(&id).copied().ok_or(Error::UserUnknown)
            }
        }
    }
}

/// Who is meant.
enum Who {
    Id(UserId),
    Called(ExternalId),
}

impl TryFrom<v1::GetUserRecordRequest> for Who {
    type Error = Error;

    fn try_from(request: v1::GetUserRecordRequest) -> Result<Self, Error> {
        use v1::get_user_record_request::User;
        match request.user {
            Some(User::UserId(id)) => parse::user_id("user_id", &id).map(Self::Id),
            Some(User::ExternalId(id)) => parse::external_id("external_id", id).map(Self::Called),
            None => Err(Error::InvalidField { field: "user", problem: "missing" }),
        }
    }
}
