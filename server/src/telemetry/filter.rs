//! What is logged now: by the filter of the start, or by one that an operator has put in its place while the program runs,
//! for a time or for as long as it runs.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use netrox_audit::{Audit, Event, Name};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing_subscriber::EnvFilter;

use super::sparse;
use crate::cli::LogFilter;

/// Has lines be written by a filter, and names what it wants all lines of.
pub(super) type Apply = Box<dyn Fn(EnvFilter, Vec<String>) -> Result<(), String> + Send + Sync>;

/// The filter of this process.
pub(crate) struct Filter {
    start: LogFilter,
    apply: Apply,
    /// Held while it is changed: one after the other.
    now: Mutex<Now>,
    end: watch::Sender<Option<Instant>>,
}

#[derive(Debug)]
struct Now {
    text: String,
    /// When it makes room for that of the start.
    end: Option<Instant>,
}

/// What there is to see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) now: String,
    pub(crate) start: String,
    /// How long it stays.
    pub(crate) lasts: Option<Duration>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.now).finish()
    }
}

/// With the lines of this module: whatever a filter silences, that it was put there is told. And with those that count what
/// was left out, which are of other places: they are written where those are.
pub(super) fn with_changes(filter: &LogFilter) -> (EnvFilter, Vec<String>) {
    let (alone, named) = filter.clone().into_parts();
    let text = format!("{},{}=info,{}=info", filter.text(), module_path!(), sparse::TARGET);
    (EnvFilter::builder().parse(text).unwrap_or(alone), named)
}

impl Filter {
    pub(super) fn new(start: LogFilter, apply: Apply) -> Self {
        let now = Mutex::new(Now { text: start.text().to_owned(), end: None });
        Self { start, apply, now, end: watch::Sender::new(None) }
    }

    pub(crate) fn show(&self) -> Shown {
        self.shown(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shown(&self, now: &Now) -> Shown {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let (text, start) = (now.text.clone(), self.start.text().to_owned());
        Shown { now: text, start, lasts: now.end.map(left) }
    }

    /// Puts a filter in the place of the one of now, for a time or until the next change; none is that of the start.
    /// `event` has who does it.
    pub(crate) fn change(
        &self,
        to: Option<&LogFilter>,
        lasts: Option<Duration>,
        service: &str,
        audit: &Audit,
        event: impl FnOnce(Event) -> Event,
    ) -> Result<Shown, String> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.put(&mut now, to.unwrap_or(&self.start), lasts)?;
        let filter = now.text.as_str();
        let lasts_seconds = lasts.map(|lasts| lasts.as_secs());
        tracing::info!(service, filter, before, lasts_seconds, "the log filter is changed");
        let reason = match lasts {
            None => format!("before: {before}"),
            Some(lasts) => {
                format!("before: {before}; for {}", humantime::format_duration(lasts))
            }
        };
        audit.record(event(Event::new(Name::LogFilterChanged).target(filter).reason(reason)));
        Ok(self.shown(&now))
    }

    /// Gives the text of the one before.
    fn put(
        &self,
        now: &mut Now,
        to: &LogFilter,
        lasts: Option<Duration>,
    ) -> Result<String, String> {
        let (filter, named) = with_changes(to);
        (self.apply)(filter, named)?;
        now.end = lasts.map(|lasts| Instant::now() + lasts);
        self.end.send_replace(now.end);
        Ok(std::mem::replace(&mut now.text, to.text().to_owned()))
    }

    /// Puts that of the start back where the time of another is over. To be polled for as long as it can be changed.
    pub(crate) async fn keep_time(self: Arc<Self>, audit: Audit) -> Infallible {
        let mut changed = self.end.subscribe();
        loop {
            let end = *changed.borrow_and_update();
            let over = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                () = over => self.end_of_time(&audit),
                // Its sender is here.
                _ = changed.changed() => {}
            }
        }
    }

    fn end_of_time(&self, audit: &Audit) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have come meanwhile.
        if now.end.is_none_or(|end| end > Instant::now()) {
            return;
        }
        match self.put(&mut now, &self.start, None) {
            Ok(before) => {
                let filter = now.text.as_str();
                tracing::info!(filter, before, "the time of a log filter is over");
                let event = Event::new(Name::LogFilterChanged).target(filter);
                audit.record(event.reason(format!("before: {before}, whose time is over")));
            }
            Err(error) => {
                // Not again and again.
                now.end = None;
                self.end.send_replace(None);
                tracing::error!(error, "the log filter of the start cannot be put back");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the texts that were applied.
    fn filter(start: &str) -> (Arc<Filter>, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::<Mutex<Vec<String>>>::default();
        let put = Arc::clone(&applied);
        let apply: Apply = Box::new(move |filter, _| {
            let text = filter.to_string();
            put.lock().expect("no panic").push(text);
            Ok(())
        });
        (Arc::new(Filter::new(start.parse().expect("a filter"), apply)), applied)
    }

    fn change(filter: &Filter, to: Option<&str>, lasts: Option<Duration>) -> Shown {
        let to = to.map(|text| text.parse::<LogFilter>().expect("a filter"));
        let changed = filter.change(to.as_ref(), lasts, "ops", &Audit::default(), |event| event);
        changed.expect("changed")
    }

    #[test]
    fn changes_are_told_whatever_is_silenced() {
        for text in ["off", "error,netrox_chat=off", "netrox_edge=debug"] {
            let filter = with_changes(&text.parse().expect("a filter")).0.to_string();
            assert!(filter.contains("netrox_chat::telemetry::filter=info"), "{filter}");
        }
    }

    #[test]
    fn one_is_put_in_the_place_of_another_and_back() {
        let (filter, applied) = filter("warn");
        let shown = change(&filter, Some("netrox_core=debug"), None);
        assert_eq!((&*shown.now, &*shown.start), ("info,netrox_core=debug", "warn"));
        assert_eq!(shown, filter.show());
        assert_eq!(change(&filter, None, None).now, "warn");
        let applied = applied.lock().expect("no panic");
        assert_eq!(applied.len(), 2);
        assert!(applied[0].contains("netrox_core=debug") && applied[1].contains("warn"));
    }

    #[test]
    fn what_cannot_be_put_in_changes_nothing() {
        let apply: Apply = Box::new(|_, _| Err("gone".to_owned()));
        let filter = Filter::new("info".parse().expect("a filter"), apply);
        let to = "debug".parse().expect("a filter");
        let hour = Some(Duration::from_secs(3_600));
        let audit = Audit::default();
        assert_eq!(
            filter.change(Some(&to), hour, "ops", &audit, |event| event),
            Err("gone".into())
        );
        assert_eq!((&*filter.show().now, filter.show().lasts), ("info", None));
    }

    #[tokio::test]
    async fn one_for_a_time_makes_room_for_that_of_the_start() {
        let (filter, applied) = filter("info");
        let hour = Some(Duration::from_secs(3_600));
        // The next one has a time of its own.
        change(&filter, Some("debug"), Some(Duration::ZERO));
        let lasts = change(&filter, Some("trace"), hour).lasts;
        assert!(lasts > Some(Duration::from_secs(3_000)) && lasts <= hour, "{lasts:?}");
        filter.end_of_time(&Audit::default());
        assert_eq!(filter.show().now, "trace");
        change(&filter, Some("debug"), None);
        filter.end_of_time(&Audit::default());
        assert_eq!((&*filter.show().now, filter.show().lasts), ("debug", None));

        let kept = tokio::spawn(Arc::clone(&filter).keep_time(Audit::default()));
        change(&filter, Some("error"), Some(Duration::ZERO));
        while filter.show().now == "error" {
            tokio::task::yield_now().await;
        }
        assert_eq!((&*filter.show().now, filter.show().lasts), ("info", None));
        assert_eq!(applied.lock().expect("no panic").len(), 5);
        kept.abort();
    }
}
