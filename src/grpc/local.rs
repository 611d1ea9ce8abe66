//! The routing service without a network: what `semroute route` uses where no server runs.

use tonic::Status;

use super::pb;
use super::record::Recording;
use super::router::RouterService;
use super::server::{ServeError, router_service};
use crate::app::App;
use crate::govern::Caller;

pub struct LocalRouter(RouterService);

impl LocalRouter {
    pub fn new(app: &App) -> Result<Self, ServeError> {
        router_service(app).map(Self)
    }

    pub async fn route(&self, request: pb::RouteRequest) -> Result<pb::RouteResponse, Status> {
        self.0.route_one(&Caller::anyone(), request, None, Recording::none()).await
    }
}
