//! The client of ReferenceService with what the tests ask of it over and over, and messages for it.

use semroute::grpc::pb;
use semroute::grpc::pb::reference_service_client::ReferenceServiceClient;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) struct References(pub(crate) ReferenceServiceClient<Channel>);

impl References {
    pub(crate) async fn upsert_set(&mut self, request: pb::UpsertSetRequest) -> Result<pb::ReferenceSet, Status> {
        self.0.upsert_set(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn make_set(&mut self, name: &str) -> pb::ReferenceSet {
        self.upsert_set(pb::UpsertSetRequest { set: Some(set(name)), ..Default::default() }).await.unwrap()
    }

    pub(crate) async fn get_set(&mut self, name: &str) -> Result<pb::ReferenceSet, Status> {
        let request = pb::GetSetRequest { name: name.to_owned() };
        self.0.get_set(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn upsert_route(&mut self, request: pb::UpsertRouteRequest) -> Result<pb::Route, Status> {
        self.0.upsert_route(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn make_route(&mut self, set: &str, name: &str) -> pb::Route {
        let request = pb::UpsertRouteRequest { set: set.to_owned(), route: Some(route(name)), expected_revision: None };
        self.upsert_route(request).await.unwrap()
    }

    pub(crate) async fn write(
        &mut self,
        set: &str,
        prompts: Vec<pb::ReferencePromptWrite>,
    ) -> Result<Vec<pb::ReferencePrompt>, Status> {
        let request = pb::UpsertReferencePromptsRequest { set: set.to_owned(), prompts };
        Ok(self.0.upsert_reference_prompts(request).await?.into_inner().prompts)
    }

    pub(crate) async fn delete(&mut self, set: &str, ids: &[(&str, Option<u64>)]) -> Result<(), Status> {
        let prompts = ids
            .iter()
            .map(|(id, expected)| pb::ReferencePromptDelete { id: (*id).to_owned(), expected_revision: *expected });
        let request = pb::DeleteReferencePromptsRequest { set: set.to_owned(), prompts: prompts.collect() };
        self.0.delete_reference_prompts(request).await.map(drop)
    }

    pub(crate) async fn get(&mut self, set: &str, id: &str) -> Result<pb::ReferencePrompt, Status> {
        let request = pb::GetReferencePromptRequest { set: set.to_owned(), id: id.to_owned() };
        self.0.get_reference_prompt(request).await.map(tonic::Response::into_inner)
    }

    /// All pages of a size: the ids of each.
    pub(crate) async fn pages(&mut self, set: &str, route: &str, page_size: u32) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListReferencePromptsRequest {
                set: set.to_owned(),
                route: route.to_owned(),
                page_size,
                page_token: page_token.clone(),
            };
            let answer = self.0.list_reference_prompts(request).await.unwrap().into_inner();
            pages.push(answer.prompts.into_iter().map(|prompt| prompt.id).collect());
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return pages;
            }
        }
    }

    pub(crate) async fn import(&mut self, messages: Vec<pb::ImportRequest>) -> Result<pb::ImportResponse, Status> {
        self.0.import(tokio_stream::iter(messages)).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn export(&mut self, set: &str) -> Result<Vec<pb::ReferencePrompt>, Status> {
        self.0.export(pb::ExportRequest { set: set.to_owned() }).await?.into_inner().collect().await
    }
}

pub(crate) fn set(name: &str) -> pb::ReferenceSet {
    pb::ReferenceSet { name: name.to_owned(), ..Default::default() }
}

pub(crate) fn route(name: &str) -> pb::Route {
    pb::Route { name: name.to_owned(), ..Default::default() }
}

pub(crate) fn prompt(id: &str, route: &str, text: &str) -> pb::ReferencePrompt {
    pb::ReferencePrompt {
        id: id.to_owned(),
        route: route.to_owned(),
        text: text.to_owned(),
        revision: 0,
        purpose: pb::PromptPurpose::Reference.into(),
    }
}

pub(crate) fn write(id: &str, route: &str, text: &str) -> pb::ReferencePromptWrite {
    pb::ReferencePromptWrite { prompt: Some(prompt(id, route, text)), expected_revision: None }
}

pub(crate) fn expecting(expected: u64, write: pb::ReferencePromptWrite) -> pb::ReferencePromptWrite {
    pb::ReferencePromptWrite { expected_revision: Some(expected), ..write }
}
