//! Users.

use netrox_proto::v1::{
    DeleteUserRequest, DeleteUserResponse, EnsureUserRequest, EnsureUserResponse, ErrorReason,
    Failure, GetUsersRequest, GetUsersResponse, ListUsersRequest, ListUsersResponse,
    UpsertUsersRequest, UpsertUsersResponse, User, directory_service_server::DirectoryService,
};
use tonic::{Request, Response, Status};

use super::StubCore;

#[tonic::async_trait]
impl DirectoryService for StubCore {
    async fn upsert_users(
        &self,
        _: Request<UpsertUsersRequest>,
    ) -> Result<Response<UpsertUsersResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }

    async fn ensure_user(
        &self,
        request: Request<EnsureUserRequest>,
    ) -> Result<Response<EnsureUserResponse>, Status> {
        assert_eq!(request.metadata().get("authorization").expect("a credential"), "Bearer test");
        let request = request.into_inner();
        let user = request.user.clone().expect("a user");
        if self.state().hangs {
            std::future::pending().await
        }
        let id = user.id.clone();
        self.change(|state| {
            state.refuse_if_down()?;
            let has_email = user.email.is_some();
            state.ensured.push(request);
            if let Some(claim) = state.refused_claim
                && (claim != "email" || has_email)
            {
                return Err(Failure::invalid_field(claim, "refused").into());
            }
            if state.deleted.contains(&id) {
                return Err(Status::from(Failure::new(ErrorReason::UserDeleted, "deleted")));
            }
            state.users.insert(id.clone());
            Ok(())
        })?;
        Ok(Response::new(EnsureUserResponse { user: Some(User { id, ..Default::default() }) }))
    }

    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        let state = self.state();
        let ids = request.into_inner().user_ids.into_iter();
        let found = ids.filter(|id| state.users.contains(id));
        let users =
            found.map(|id| User { id, email: "alice@example.com".into(), ..Default::default() });
        Ok(Response::new(GetUsersResponse { users: users.collect() }))
    }

    async fn list_users(
        &self,
        _: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }

    async fn delete_user(
        &self,
        _: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        Err(Status::unimplemented("not of an edge"))
    }
}
