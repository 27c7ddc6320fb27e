//! Of who calls, and of what they are refused for.

use std::fmt;

use netrox_metrics::{By, Registry, Word, words};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

use crate::auth::Unknown;

/// Of services.
#[derive(Debug, Clone)]
pub(crate) struct Callers {
    calls: ServiceCalls,
    refused: By<Unknown, Counter>,
}

impl Default for Callers {
    fn default() -> Self {
        Self { calls: ServiceCalls::default(), refused: By::counters("reason") }
    }
}

impl Callers {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "service_calls",
            "Calls of the services that are named in the file of services, and of --service-token",
            self.calls.0.clone(),
        );
        registry.register(
            "service_tokens_refused",
            "Calls whose service token or certificate was refused, by why",
            self.refused.clone(),
        );
    }

    pub(crate) fn calls(&self) -> ServiceCalls {
        self.calls.clone()
    }

    pub(crate) fn refused(&self, unknown: Unknown) {
        self.refused.count(unknown);
    }
}

/// By their names, which are from a file of the operator.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceCalls(Family<ServiceCall, Counter>);

/// Of one service.
#[derive(Debug, Clone)]
pub(crate) struct OfService {
    pub(crate) taken: Counter,
    /// It may not make them.
    pub(crate) refused: Counter,
}

impl ServiceCalls {
    /// From the beginning: a rate needs its zero.
    pub(crate) fn of(&self, service: &str) -> OfService {
        let [taken, refused] = [CallResult::Taken, CallResult::Refused].map(|result| {
            let call = ServiceCall { service: service.to_owned(), result };
            self.0.get_or_create(&call).clone()
        });
        OfService { taken, refused }
    }

    /// It is not there any more.
    pub(crate) fn forget(&self, service: &str) {
        for result in CallResult::ALL {
            self.0.remove(&ServiceCall { service: service.to_owned(), result: *result });
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceCall {
    service: String,
    result: CallResult,
}

words! {
    enum CallResult {
        Taken = "taken",
        Refused = "refused",
    }
}

impl EncodeLabelValue for CallResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(encoder, self.word())
    }
}

words! {
    /// What users are over.
    pub(crate) enum Quota {
        NewConversations = "new_conversations",
        Storage = "storage",
    }
}
