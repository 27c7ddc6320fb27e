//! Services that show a certificate, and no token.

use std::fs;

use netrox_harness::{Arrangement, each, tls::TlsClient};
use netrox_proto::v1::{
    DeleteUserRequest, GetMessageRequest, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient,
};
use serde_json::json;
use tonic::{Code, Request};

use super::Secured;

each![; split: a_service_is_known_by_a_name_of_its_certificate];

async fn a_service_is_known_by_a_name_of_its_certificate(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("services.json");
    let names = ["reader.example.org", "spiffe://example.org/reader"];
    let services = json!([{ "name": "reader", "certificate_names": names, "scopes": ["read"] }]);
    fs::write(&path, services.to_string()).expect("written");
    let Secured { authority, builder, .. } = Secured::new(arrangement);
    let chat = builder.set("service-tokens-file", path).start().await;
    let root = authority.certificate();

    for (name, names, read, delete) in [
        ("dns", "DNS:other.example.org,DNS:Reader.example.org", Code::InvalidArgument, true),
        ("uri", "URI:spiffe://example.org/reader", Code::InvalidArgument, true),
        ("other", "DNS:other.example.org", Code::Unauthenticated, false),
        ("address", "IP:127.0.0.1", Code::Unauthenticated, false),
    ] {
        let own = authority.issue_for(name, names);
        let client = TlsClient::of_service(chat.grpc_address(), &root, &own).await;
        let mut service = ChatServiceClient::new(client.channel());
        let mut directory = DirectoryServiceClient::new(client.channel());
        // The second as well, though who calls is known by then.
        for _ in 0..2 {
            let answer = service.get_message(GetMessageRequest::default()).await;
            assert_eq!(answer.expect_err("nothing is asked for").code(), read, "{name}");
            let answer = directory.delete_user(DeleteUserRequest::default()).await;
            let expected = if delete { Code::PermissionDenied } else { Code::Unauthenticated };
            assert_eq!(answer.expect_err("not allowed").code(), expected, "{name}");
        }
        // What a call shows by itself counts alone.
        let mut wrong = Request::new(GetMessageRequest::default());
        let token = "Bearer of-nobody".parse().expect("a header value");
        wrong.metadata_mut().insert("authorization", token);
        let answer = service.get_message(wrong).await;
        assert_eq!(answer.expect_err("a wrong token").code(), Code::Unauthenticated, "{name}");
    }
}
