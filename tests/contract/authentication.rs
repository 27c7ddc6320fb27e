//! Callers are services with a credential; without it there is health and nothing else.

use std::time::Duration;

use netrox_harness::{eventually, settings::SERVICE_TOKEN, within};
use netrox_proto::v1::{
    BatchSetTypingRequest, BlockUserRequest, CreateTicketRequest, DeleteMessageRequest,
    DeleteUserRequest, DispatchAttachmentRequest, DownloadAttachmentRequest, EditMessageRequest,
    EndSessionsRequest, EnsureUserRequest, ExportUserRequest, GetAttachmentRequest,
    GetMessageRequest, GetPresenceRequest, GetSendRequest, GetThreadRequest, GetUserRecordRequest,
    GetUsersRequest, ListBlocksRequest, ListMessagesRequest, ListSessionsRequest,
    ListThreadsRequest, ListUsersRequest, MarkDeliveredRequest, MarkSeenRequest,
    RedeemTicketRequest, RevokeTokensRequest, SearchMessagesRequest, SendMessageRequest,
    SetPresenceRequest, SetTypingRequest, SubscribeRequest, TapUserRequest, UnblockUserRequest,
    UpsertUsersRequest, WatchPresenceRequest, admin_service_client::AdminServiceClient,
    attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient, session_service_client::SessionServiceClient,
};
use tonic::{
    Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    reflection,
    refusal::assert_unauthenticated,
    running::{Core, collect},
};

/// What every call carries: any number of `authorization` values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorization(Vec<MetadataValue<Ascii>>);

impl Authorization {
    fn of(values: &[&str]) -> Self {
        Self(values.iter().map(|value| value.parse().expect("a header value")).collect())
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::of(&[&format!("Bearer {token}")])
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for value in &self.0 {
            request.metadata_mut().append("authorization", value.clone());
        }
        Ok(request)
    }
}

/// What every method says to a request without content.
pub(crate) async fn call_all(
    channel: Channel,
    authorization: Authorization,
) -> Vec<(&'static str, Result<(), Status>)> {
    let service = InterceptedService::new(channel, authorization);
    let mut chat = ChatServiceClient::new(service.clone());
    let mut attachment = AttachmentServiceClient::new(service.clone());
    let mut directory = DirectoryServiceClient::new(service.clone());
    let mut sessions = SessionServiceClient::new(service.clone());
    let mut admin = AdminServiceClient::new(service);
    let done = |result: Result<Response<_>, Status>| result.map(|_: Response<()>| ());
    vec![
        ("SendMessage", done(unit(chat.send_message(SendMessageRequest::default()).await))),
        ("SendMessages", drained(chat.send_messages(tokio_stream::empty()).await).await),
        ("EditMessage", done(unit(chat.edit_message(EditMessageRequest::default()).await))),
        ("DeleteMessage", done(unit(chat.delete_message(DeleteMessageRequest::default()).await))),
        ("MarkSeen", done(unit(chat.mark_seen(MarkSeenRequest::default()).await))),
        ("MarkDelivered", done(unit(chat.mark_delivered(MarkDeliveredRequest::default()).await))),
        ("BlockUser", done(unit(chat.block_user(BlockUserRequest::default()).await))),
        ("UnblockUser", done(unit(chat.unblock_user(UnblockUserRequest::default()).await))),
        ("SetTyping", done(unit(chat.set_typing(SetTypingRequest::default()).await))),
        (
            "BatchSetTyping",
            done(unit(chat.batch_set_typing(BatchSetTypingRequest::default()).await)),
        ),
        ("SetPresence", done(unit(chat.set_presence(SetPresenceRequest::default()).await))),
        ("GetPresence", done(unit(chat.get_presence(GetPresenceRequest::default()).await))),
        (
            "WatchPresence",
            drained(chat.watch_presence(WatchPresenceRequest::default()).await).await,
        ),
        ("ListBlocks", done(unit(chat.list_blocks(ListBlocksRequest::default()).await))),
        (
            "SearchMessages",
            done(unit(chat.search_messages(SearchMessagesRequest::default()).await)),
        ),
        ("GetThread", done(unit(chat.get_thread(GetThreadRequest::default()).await))),
        ("GetSend", done(unit(chat.get_send(GetSendRequest::default()).await))),
        ("GetMessage", done(unit(chat.get_message(GetMessageRequest::default()).await))),
        ("ListMessages", drained(chat.list_messages(ListMessagesRequest::default()).await).await),
        ("ListThreads", drained(chat.list_threads(ListThreadsRequest::default()).await).await),
        ("Subscribe", drained(chat.subscribe(SubscribeRequest::default()).await).await),
        ("UploadAttachment", done(unit(attachment.upload_attachment(tokio_stream::empty()).await))),
        (
            "DispatchAttachment",
            done(unit(attachment.dispatch_attachment(DispatchAttachmentRequest::default()).await)),
        ),
        (
            "GetAttachment",
            done(unit(attachment.get_attachment(GetAttachmentRequest::default()).await)),
        ),
        (
            "DownloadAttachment",
            drained(attachment.download_attachment(DownloadAttachmentRequest::default()).await)
                .await,
        ),
        ("UpsertUsers", done(unit(directory.upsert_users(UpsertUsersRequest::default()).await))),
        ("EnsureUser", done(unit(directory.ensure_user(EnsureUserRequest::default()).await))),
        ("GetUsers", done(unit(directory.get_users(GetUsersRequest::default()).await))),
        ("ListUsers", done(unit(directory.list_users(ListUsersRequest::default()).await))),
        ("DeleteUser", done(unit(directory.delete_user(DeleteUserRequest::default()).await))),
        ("RevokeTokens", done(unit(sessions.revoke_tokens(RevokeTokensRequest::default()).await))),
        ("EndSessions", done(unit(sessions.end_sessions(EndSessionsRequest::default()).await))),
        ("ListSessions", done(unit(sessions.list_sessions(ListSessionsRequest::default()).await))),
        ("CreateTicket", done(unit(sessions.create_ticket(CreateTicketRequest::default()).await))),
        ("RedeemTicket", done(unit(sessions.redeem_ticket(RedeemTicketRequest::default()).await))),
        ("WatchSessions", drained(sessions.watch_sessions(tokio_stream::empty()).await).await),
        ("ReportSockets", drained(sessions.report_sockets(tokio_stream::empty()).await).await),
        ("GetUserRecord", done(unit(admin.get_user_record(GetUserRecordRequest::default()).await))),
        ("ExportUser", drained(admin.export_user(ExportUserRequest::default()).await).await),
        ("TapUser", drained(admin.tap_user(TapUserRequest::default()).await).await),
    ]
}

fn unit<T>(result: Result<Response<T>, Status>) -> Result<Response<()>, Status> {
    result.map(|response| response.map(|_| ()))
}

/// A stream may be refused at its start or at its end.
async fn drained<T>(result: Result<Response<Streaming<T>>, Status>) -> Result<(), Status> {
    collect(result?.into_inner()).await.map(|_| ())
}

#[tokio::test]
async fn no_method_answers_without_the_credential() {
    let core = Core::start().await;
    let bearer = format!("Bearer {SERVICE_TOKEN}");
    let refused: [Authorization; 11] = [
        Authorization::default(),
        Authorization::of(&[""]),
        Authorization::of(&["Bearer"]),
        Authorization::bearer(""),
        Authorization::bearer("wrong"),
        Authorization::bearer(&SERVICE_TOKEN[1..]),
        Authorization::bearer(&format!("{SERVICE_TOKEN}x")),
        Authorization::bearer(&SERVICE_TOKEN.to_uppercase()),
        Authorization::of(&[SERVICE_TOKEN]),
        Authorization::of(&[&format!("Basic {SERVICE_TOKEN}")]),
        Authorization::of(&[&format!("{bearer},{bearer}")]),
    ];
    for authorization in refused {
        let channel = core.channel().await;
        for (method, answer) in call_all(channel, authorization.clone()).await {
            assert!(answer.is_err(), "{method} answered to {authorization:?}");
            assert_unauthenticated(answer);
        }
    }
}

/// None of the contract's methods is missing above, and the same calls are let in with it.
#[tokio::test]
async fn every_method_answers_with_the_credential() {
    let core = Core::start_with(&[("search", "true")]).await;
    let answers = call_all(core.channel().await, Authorization::bearer(SERVICE_TOKEN)).await;
    let mut called: Vec<_> = answers.iter().map(|(method, _)| (*method).to_owned()).collect();
    called.sort();
    assert_eq!(called, crate::released::method_names());
    for (method, answer) in answers {
        match answer {
            // A pipeline, a batch or a report of nothing ends well, and a list begins; no other request makes sense without content.
            Ok(()) => assert!(
                ["SendMessages", "BatchSetTyping", "ReportSockets", "ListUsers"].contains(&method),
                "{method}"
            ),
            Err(status) => {
                let code = status.code();
                let refused = [tonic::Code::InvalidArgument, tonic::Code::NotFound];
                assert!(refused.contains(&code), "{method}: {status:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_of_several_credentials_is_good() {
    let core =
        Core::start_with(&[("service-token", "the-old-credential,the-new-credential")]).await;
    for token in ["the-old-credential", "the-new-credential"] {
        for (method, answer) in call_all(core.channel().await, Authorization::bearer(token)).await {
            let code = answer.err().map_or(tonic::Code::Ok, |status| status.code());
            assert_ne!(code, tonic::Code::Unauthenticated, "{method}");
        }
    }
    for token in ["the-old-credential,the-new-credential", "the-old-credentia", SERVICE_TOKEN, ","]
    {
        for (_, answer) in call_all(core.channel().await, Authorization::bearer(token)).await {
            assert_unauthenticated(answer);
        }
    }
}

#[tokio::test]
async fn health_needs_no_credential() {
    let core = Core::start().await;
    let mut health = HealthClient::new(core.channel().await);
    let services = ["", "netrox.chat.v1.ChatService"];
    for service in services.map(str::to_owned) {
        let answer = health.check(HealthCheckRequest { service: service.clone() }).await;
        let status = answer.expect("an answer").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "no.such.Service".into() }).await;
    assert_eq!(unknown.expect_err("unknown").code(), tonic::Code::NotFound);
}

/// Who shows a wrong one is told so by the first that is asked of a core.
#[tokio::test]
async fn health_is_not_for_a_wrong_credential() {
    let core = Core::start().await;
    for (authorization, is_served) in [
        (Authorization::default(), true),
        (Authorization::bearer(SERVICE_TOKEN), true),
        (Authorization::bearer("wrong"), false),
    ] {
        let service = InterceptedService::new(core.channel().await, authorization);
        let mut health = HealthClient::new(service);
        let answer = health.check(HealthCheckRequest::default()).await;
        if is_served {
            answer.expect("an answer");
        } else {
            assert_unauthenticated(answer);
            let watched = health.watch(HealthCheckRequest::default()).await;
            assert_unauthenticated(watched.map(|_| ()));
        }
    }
    let told = "shows one that this core does not have";
    eventually("a line of the log", async || core.log_contains(told).then_some(())).await;
}

#[tokio::test]
async fn a_watcher_of_health_sees_the_core_go() {
    let mut core = Core::start().await;
    let mut health = HealthClient::new(core.channel().await);
    let watched = health.watch(HealthCheckRequest { service: String::new() }).await;
    let mut watched = watched.expect("a stream").into_inner();
    let first = within("the state of health", watched.message()).await.expect("a state");
    assert_eq!(first.expect("a state").status(), ServingStatus::Serving);
    core.terminate();
    let news = within("news of health", watched.message()).await;
    assert_eq!(news.expect("news").expect("news").status(), ServingStatus::NotServing);
    // The watcher does not hold up the drain.
    assert_eq!(core.exit_code().await, Some(0));
    assert!(!core.log_contains("what is left is cut off"));
}

#[tokio::test]
async fn reflection_needs_the_credential_and_shows_the_contract() {
    let core = Core::start().await;
    for authorization in [Authorization::default(), Authorization::bearer("wrong")] {
        let service = InterceptedService::new(core.channel().await, authorization);
        assert_unauthenticated(reflection::services(service.clone()).await);
        assert_unauthenticated(reflection::services_v1alpha(service).await);
    }
    let authorization = Authorization::bearer(SERVICE_TOKEN);
    let service = InterceptedService::new(core.channel().await, authorization);
    for services in [
        reflection::services(service.clone()).await.expect("services"),
        reflection::services_v1alpha(service.clone()).await.expect("services"),
    ] {
        for expected in crate::released::service_names() {
            assert!(services.contains(&expected), "{expected} is not in {services:?}");
        }
    }
    let symbol = "netrox.chat.v1.ChatService";
    let file = reflection::file_of(service.clone(), symbol).await.expect("a file");
    assert_eq!(file.package(), "netrox.chat.v1");
    assert!(file.service.iter().any(|service| service.name() == "ChatService"));
    // What a refusal carries can be read by who knows nothing else.
    for detail in ["ErrorInfo", "BadRequest", "RetryInfo"] {
        let symbol = format!("google.rpc.{detail}");
        let file = reflection::file_of(service.clone(), &symbol).await.expect("a file");
        assert!(file.message_type.iter().any(|message| message.name() == detail), "{detail}");
    }
}

/// A caller that never had a credential cannot hold a connection's memory by talking on.
#[tokio::test]
async fn an_upload_without_the_credential_is_refused_before_its_end() {
    use netrox_proto::v1::{UploadAttachmentRequest, upload_attachment_request::Part};

    let core = Core::start().await;
    let mut attachment = AttachmentServiceClient::new(core.channel().await);
    let endless = tokio_stream::StreamExt::throttle(
        tokio_stream::iter(std::iter::repeat_with(|| UploadAttachmentRequest {
            part: Some(Part::Chunk(vec![0; 1000].into())),
        })),
        Duration::from_millis(1),
    );
    let answer = within("a refusal", attachment.upload_attachment(endless)).await;
    assert_unauthenticated(answer);
}
