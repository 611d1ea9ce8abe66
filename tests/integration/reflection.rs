//! Reflection: what a client learns that brings no .proto files, in the present protocol and in its draft.

use tonic_reflection::pb::{v1, v1alpha};

use crate::server::Setup;

/// Both protocols have the same messages under different names.
macro_rules! listed {
    ($version:ident, $channel:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let request = $version::ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        let mut client = $version::server_reflection_client::ServerReflectionClient::new($channel);
        let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
        match answers.message().await.unwrap().unwrap().message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_clients_learn_of_every_service() {
    let server = Setup::default().start().await;
    let listed = [listed!(v1, server.channel().await), listed!(v1alpha, server.channel().await)];
    for services in listed {
        for service in ["RouterService", "ReferenceService", "AdminService"] {
            assert!(services.contains(&format!("semroute.v1.{service}")), "{services:?}");
        }
        assert!(services.contains(&"grpc.health.v1.Health".to_owned()), "{services:?}");
    }
}
