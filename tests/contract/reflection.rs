//! What server reflection tells, in both versions that tools speak.

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, service::interceptor::InterceptedService, transport::Channel};
use tonic_reflection::pb;

/// Asks one question and gives the one answer.
macro_rules! ask {
    ($version:ident, $service:expr, $question:expr) => {{
        use pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        };
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some($question) };
        let mut client = ServerReflectionClient::new($service);
        let answers = client.server_reflection_info(tokio_stream::once(request)).await?;
        let mut answers = crate::running::collect(answers.into_inner()).await?;
        assert_eq!(answers.len(), 1);
        answers.remove(0).message_response.expect("an answer")
    }};
}

pub(crate) async fn services<I: tonic::service::Interceptor>(
    service: InterceptedService<Channel, I>,
) -> Result<Vec<String>, Status> {
    use pb::v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    match ask!(v1, service, MessageRequest::ListServices(String::new())) {
        MessageResponse::ListServicesResponse(list) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("instead of services: {other:?}"),
    }
}

pub(crate) async fn services_v1alpha<I: tonic::service::Interceptor>(
    service: InterceptedService<Channel, I>,
) -> Result<Vec<String>, Status> {
    use pb::v1alpha::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    match ask!(v1alpha, service, MessageRequest::ListServices(String::new())) {
        MessageResponse::ListServicesResponse(list) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("instead of services: {other:?}"),
    }
}

/// A conversation that lasts as long as its questions.
pub(crate) async fn open<I: tonic::service::Interceptor>(
    service: InterceptedService<Channel, I>,
    questions: ReceiverStream<pb::v1::ServerReflectionRequest>,
) -> Streaming<pb::v1::ServerReflectionResponse> {
    let mut client = pb::v1::server_reflection_client::ServerReflectionClient::new(service);
    client.server_reflection_info(questions).await.expect("a conversation").into_inner()
}

/// The file that declares a symbol.
pub(crate) async fn file_of<I: tonic::service::Interceptor>(
    service: InterceptedService<Channel, I>,
    symbol: &str,
) -> Result<FileDescriptorProto, Status> {
    use pb::v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    match ask!(v1, service, MessageRequest::FileContainingSymbol(symbol.into())) {
        MessageResponse::FileDescriptorResponse(found) => {
            let file = found.file_descriptor_proto.first().expect("a file");
            Ok(FileDescriptorProto::decode(file.as_slice()).expect("a file descriptor"))
        }
        other => panic!("instead of a file: {other:?}"),
    }
}
