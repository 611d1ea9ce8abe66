//! One completion that may begin: decided, planned, reserved for. However it ends, the caller is charged, the request
//! is recorded, and only then does its answer, or the last event of its stream, leave.
//!
//! Fields are dropped in their order: the dispatch first, which closes the calls under way and counts them as
//! cancelled; then what reads its account.

use futures_util::{Stream, StreamExt, stream};
use tonic::Status;

use super::convert;
use super::govern::Meter;
use super::pb;
use super::record::Recording;
use super::status;
use crate::classify::Decision;
use crate::dispatch::{Dispatch, DispatchEvent, DispatchStream};
use crate::money::Currency;
use crate::routing::Pending;

type Event = Result<pb::CompleteEvent, Status>;

pub(super) struct Journey {
    dispatch: Dispatch,
    meter: Meter,
    recording: Recording,
    decision: Decision,
    explain: bool,
    currency: Currency,
    under_way: Option<Pending>,
}

/// What goes along with a dispatch.
pub(super) struct Companions {
    pub(super) meter: Meter,
    pub(super) recording: Recording,
    pub(super) decision: Decision,
    /// Show the neighbours' texts.
    pub(super) explain: bool,
    pub(super) currency: Currency,
    /// That it is on its way to the plan's first target, for the order by latency. A simplification: the first is
    /// counted also where it is passed over, and those that are tried after it are not.
    pub(super) under_way: Option<Pending>,
}

impl Journey {
    /// Nothing is sent yet.
    pub(super) fn new(dispatch: Dispatch, companions: Companions) -> Self {
        let Companions { mut meter, mut recording, decision, explain, currency, under_way } = companions;
        meter.begin(dispatch.account());
        recording.dispatching(dispatch.account());
        Self { dispatch, meter, recording, decision, explain, currency, under_way }
    }

    /// The whole answer.
    pub(super) async fn complete(self) -> Result<pb::CompleteResponse, Status> {
        let Self { dispatch, meter, mut recording, decision, explain, currency, under_way: _under_way } = self;
        let answer = match dispatch.complete().await {
            Ok(dispatched) => {
                let completion = &dispatched.completion;
                recording.answered(&dispatched.target, completion.model.as_deref(), &completion.finish);
                recording.passed(&dispatched.passed);
                Ok(convert::completed(dispatched, pb::Decision::of(&decision, explain), currency.as_str()))
            }
            Err(error) => {
                recording.passed(error.passed());
                Err(status::from_dispatch(&error, currency.as_str()))
            }
        };
        // Settled before the answer tells what is left.
        drop(meter);
        recording.end(answer).await
    }

    /// The decision, then the answer piece by piece.
    pub(super) fn stream(self) -> impl Stream<Item = Event> + Send + 'static {
        let Self { dispatch, meter, recording, decision, explain, currency, under_way } = self;
        let decided = pb::complete_event::Event::Decision(pb::Decision::of(&decision, explain));
        let first = pb::CompleteEvent { event: Some(decided) };
        let (meter, recording) = (Some(meter), Some(recording));
        let road = Road { events: dispatch.stream(), meter, recording, currency, _under_way: under_way };
        let rest = stream::unfold(road, |mut road| async move {
            let event = road.next().await?;
            Some((event, road))
        });
        stream::once(async { Ok(first) }).chain(rest)
    }
}

/// A stream under way.
struct Road {
    events: DispatchStream,
    meter: Option<Meter>,
    /// `None` once it is written.
    recording: Option<Recording>,
    currency: Currency,
    _under_way: Option<Pending>,
}

impl Road {
    async fn next(&mut self) -> Option<Event> {
        let event = match self.events.next().await? {
            Ok(event) => event,
            Err(error) => {
                if let Some(recording) = &mut self.recording {
                    recording.passed(error.passed());
                }
                return Some(self.end(Err(status::from_dispatch(&error, self.currency.as_str()))).await);
            }
        };
        if let DispatchEvent::End { finish, model, target, passed, .. } = &event {
            if let Some(recording) = &mut self.recording {
                recording.answered(target, model.as_deref(), finish);
                recording.passed(passed);
            }
            let last = convert::event(event, self.currency.as_str());
            return Some(self.end(Ok(last)).await);
        }
        Some(Ok(convert::event(event, self.currency.as_str())))
    }

    async fn end(&mut self, last: Event) -> Event {
        drop(self.meter.take());
        match self.recording.take() {
            Some(recording) => recording.end(last).await,
            None => last,
        }
    }
}
