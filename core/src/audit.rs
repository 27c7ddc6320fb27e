//! What services did to users, for the audit trail.

use http::Extensions;
use netrox_audit::{Audit, Event, Name, Outcome, Refused};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};
use tonic::Status;

use crate::{auth::Caller, error::Error};

/// Which service calls.
pub(crate) fn caller(call: &Extensions) -> Option<Caller> {
    call.get::<Caller>().cloned()
}

/// A change under way. If it is dropped before its end, its caller is gone or it has panicked: nobody knows what became of
/// it.
pub(crate) struct Audited(Option<Pending>);

struct Pending {
    audit: Audit,
    name: Name,
    caller: Option<Caller>,
    users: Vec<UserId>,
    /// What it is done to, where that is no user.
    words: Option<String>,
    /// What there is to say of it if it goes well.
    note: Option<&'static str>,
}

impl Audited {
    pub(crate) fn begin(
        audit: &Audit,
        name: Name,
        caller: Option<Caller>,
        users: impl IntoIterator<Item = UserId>,
    ) -> Self {
        let begin = || Pending {
            audit: audit.clone(),
            name,
            caller,
            users: users.into_iter().collect(),
            words: None,
            note: None,
        };
        Self(audit.is_on().then(begin))
    }

    /// Names what it is done to, where that is no user.
    pub(crate) fn saying(mut self, words: Option<String>) -> Self {
        if let Some(pending) = &mut self.0 {
            pending.words = words;
        }
        self
    }

    /// Names whom it is about, where that was not known at the beginning.
    pub(crate) fn about(mut self, user: UserId) -> Self {
        if let Some(pending) = &mut self.0 {
            pending.users = vec![user];
        }
        self
    }

    /// With a word about it, for the reason of one that goes well.
    pub(crate) fn noting(mut self, note: &'static str) -> Self {
        if let Some(pending) = &mut self.0 {
            pending.note = Some(note);
        }
        self
    }

    /// It is refused, or fails.
    pub(crate) fn refuse(self, error: Error) -> Error {
        match self.end::<()>(Err(error.clone())) {
            Ok(()) => error,
            Err(error) => error,
        }
    }

    /// It went well, to its end.
    pub(crate) fn done(mut self) {
        if let Some(pending) = self.0.take() {
            pending.tell(Outcome::Ok, pending.note);
        }
    }

    /// It began, and was cut off.
    pub(crate) fn failed(mut self, status: &Status) {
        if let Some(pending) = self.0.take() {
            let reason = Failure::from(status).reason();
            let word = reason.as_str_name().trim_start_matches("ERROR_REASON_");
            pending.tell(Outcome::Failed, Some(word));
        }
    }

    /// Tells what became of it.
    pub(crate) fn end<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Some(pending) = self.0.take() {
            match &result {
                Ok(_) => pending.tell(Outcome::Ok, pending.note),
                Err(error) => pending.fail(error.reason()),
            }
        }
        result
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            let reason = if std::thread::panicking() { "PANIC" } else { "CALLER_GONE" };
            pending.tell(Outcome::Unknown, Some(reason));
        }
    }
}

impl Pending {
    fn fail(&self, reason: ErrorReason) {
        let word = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        match reason {
            ErrorReason::OutcomeUnknown | ErrorReason::Internal => {
                self.tell(Outcome::Unknown, Some(word));
            }
            // Nothing was stored, and it may come as often as a service repeats it.
            ErrorReason::Unspecified
            | ErrorReason::InvalidField
            | ErrorReason::BodyTooLarge
            | ErrorReason::AttachmentTooLarge
            | ErrorReason::ReceiverUnknown
            | ErrorReason::ReceiverIsSender
            | ErrorReason::UserUnknown
            | ErrorReason::UserDeleted
            | ErrorReason::MessageNotFound
            | ErrorReason::AttachmentNotFound
            | ErrorReason::RangeNotSatisfiable
            | ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::Overtaken
            | ErrorReason::EpochChanged
            | ErrorReason::MessageNotAllowed
            | ErrorReason::TooLate
            | ErrorReason::ThreadNotFound
            | ErrorReason::ScopeMissing
            | ErrorReason::RateLimited
            | ErrorReason::StorageQuotaExceeded
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled => {
                let refused = Refused {
                    name: self.name,
                    reason: word,
                    actor: self.caller.as_ref().map(|caller| &*caller.name),
                    target: None,
                    method: None,
                    peer: self.caller.as_ref().and_then(Caller::from),
                };
                self.audit.refused(refused, |event| {
                    self.of(event, self.users.get(..1).unwrap_or_default())
                });
            }
        }
    }

    fn tell(&self, outcome: Outcome, reason: Option<&str>) {
        let event = self.of(Event::new(self.name), &self.users).outcome(outcome);
        let event = match reason {
            Some(reason) => event.reason(reason),
            None => event,
        };
        let event = match &self.caller {
            Some(caller) => event.actor(&*caller.name).peer(caller.from()),
            None => event,
        };
        self.audit.record(event);
    }

    /// With the request, and what it is about.
    fn of(&self, event: Event, users: &[UserId]) -> Event {
        let event = event.request_id(RequestId::current());
        match (users, &self.words) {
            ([user], _) => event.target(user.to_string()),
            ([], Some(words)) => event.target(words.as_str()),
            ([] | [_, _, ..], _) => event.targets(users.iter().map(ToString::to_string).collect()),
        }
    }
}
