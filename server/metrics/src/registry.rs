//! All that is shown, as OpenMetrics has it.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::text,
    registry::{Metric, Registry as Library, Unit},
};

use crate::{Durations, Queues};

/// Of all names but those that are the same of any program.
const PREFIX: &str = "netrox_chat";

/// What there is to be shown of a process.
#[derive(Debug)]
pub struct Registry {
    ours: Library,
    /// By names that others know.
    common: Library,
    queues: Queues,
    /// By what the lines of their buckets begin with.
    with_exemplars: Vec<(String, Durations)>,
}

impl Default for Registry {
    fn default() -> Self {
        let (ours, common) = (Library::with_prefix(PREFIX), Library::default());
        let (queues, with_exemplars) = (Queues::default(), Vec::new());
        let mut registry = Self { ours, common, queues: queues.clone(), with_exemplars };
        registry.register("queue_length", "What waits in a bounded queue", queues.lengths);
        registry.register("queue_limit", "What may wait in it", queues.limits);
        registry.register(
            "queue_refusals",
            "What a bounded queue had no room for",
            queues.refusals,
        );
        registry
    }
}

impl Registry {
    /// The prefix is added, and `_total` of a counter.
    pub fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.ours.register(name, help, metric);
    }

    /// The unit is added to the name as well.
    pub fn register_with_unit(&mut self, name: &str, help: &str, unit: Unit, metric: impl Metric) {
        self.ours.register_with_unit(name, help, unit, metric);
    }

    /// In seconds, with exemplars.
    pub fn register_durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.ours.register_with_unit(name, help, Unit::Seconds, durations.clone());
        let buckets = format!("{PREFIX}_{name}_seconds_bucket{{");
        self.with_exemplars.push((buckets, durations.clone()));
    }

    pub fn register_collector(&mut self, collector: impl Collector) {
        self.ours.register_collector(Box::new(collector));
    }

    /// What has no prefix.
    pub fn register_common(&mut self, collector: impl Collector) {
        self.common.register_collector(Box::new(collector));
    }

    /// Of all that register here.
    pub fn queues(&self) -> Queues {
        self.queues.clone()
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.ours)?;
        text::encode_registry(&mut text, &self.common)?;
        text::encode_eof(&mut text)?;
        Ok(self.with_exemplars(&text))
    }

    /// The library shows exemplars of its own histograms alone.
    fn with_exemplars(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len() + 4096);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let of_line = |(buckets, _): &&(String, _)| line.starts_with(&**buckets);
            let Some((buckets, durations)) = self.with_exemplars.iter().find(of_line) else {
                shown.extend([line, "\n"]);
                continue;
            };
            let mut exemplars = durations.exemplars().into_iter();
            let mut next = Some(line);
            while let Some(line) = next {
                let exemplar = exemplars.next().flatten().unwrap_or_default();
                shown.extend([line, &exemplar, "\n"]);
                next = lines.next_if(|line| line.starts_with(&**buckets));
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{By, words};

    words! {
        enum Colour { Red = "red", Blue = "blue", }
    }

    fn has(registry: &Registry, lines: &[&str]) {
        let shown = registry.text().expect("text");
        for line in lines {
            assert!(shown.lines().any(|shown| shown == *line), "{line}:\n{shown}");
        }
    }

    #[test]
    fn each_word_has_its_series_from_the_beginning() {
        let mut registry = Registry::default();
        let (counters, gauges) = (By::counters("colour"), By::gauges("colour"));
        registry.register("drops", "Drops", counters.clone());
        registry.register("pots", "Pots", gauges.clone());
        counters.add(Colour::Blue, 2);
        let _first = gauges.hold(Colour::Red);
        drop(gauges.hold(Colour::Red));
        has(
            &registry,
            &[
                "netrox_chat_drops_total{colour=\"red\"} 0",
                "netrox_chat_drops_total{colour=\"blue\"} 2",
                "netrox_chat_pots{colour=\"red\"} 1",
                "netrox_chat_pots{colour=\"blue\"} 0",
            ],
        );
    }

    #[test]
    fn times_are_in_the_bucket_that_has_them_and_one_of_each_leaves_its_name() {
        let mut registry = Registry::default();
        let durations = Durations::new(&[0.001, 0.01]);
        registry.register_durations("send_duration", "Sends", &durations);
        for (micros, name) in [(1_000, "first"), (900, "second"), (20_000, "a \"third\"")] {
            let took = Duration::from_micros(micros);
            durations.observe_one(took, None::<u8>, || ("request_id", name.into()));
        }
        let shown = registry.text().expect("text");
        let lines: Vec<_> =
            shown.lines().filter(|line| line.contains("send_duration_seconds_")).collect();
        assert_eq!(
            lines[..2],
            [
                "netrox_chat_send_duration_seconds_sum 0.0219",
                "netrox_chat_send_duration_seconds_count 3",
            ]
        );
        for (line, start) in lines[2..].iter().zip([
            "netrox_chat_send_duration_seconds_bucket{le=\"0.001\"} 2 # {request_id=\"first\"} 0.001 1",
            "netrox_chat_send_duration_seconds_bucket{le=\"0.01\"} 2",
            "netrox_chat_send_duration_seconds_bucket{le=\"+Inf\"} 3 # {request_id=\"a \\\"third\\\"\"} 0.02 1",
        ]) {
            assert!(line.starts_with(start), "{line}");
        }
        assert_eq!(lines.len(), 5);
        // Asked for anew by the scrape.
        let observe = |trace_id: Option<&str>, name: &str| {
            let took = Duration::from_micros(800);
            durations.observe_one(took, trace_id, || ("request_id", name.into()));
        };
        observe(None, "fourth");
        let shown = registry.text().expect("text");
        assert!(shown.contains("fourth") && !shown.contains("first"), "{shown}");
        // One that is traced counts before it, whichever comes first.
        for first in [None, Some("aa")] {
            observe(first, "fifth");
            observe(None, "untraced");
            observe(Some("bb"), "sixth");
            observe(Some("cc"), "seventh");
            let shown = registry.text().expect("text");
            let (name, id) = if first.is_some() { ("fifth", "aa") } else { ("sixth", "bb") };
            let exemplar = format!("{{request_id=\"{name}\",trace_id=\"{id}\"}} 0.0008 ");
            assert!(shown.contains(&exemplar), "{exemplar}\n{shown}");
        }
        assert!(shown.ends_with("# EOF\n"));
    }

    #[test]
    fn a_time_that_cannot_be_does_not_make_the_sum_wrap() {
        let mut registry = Registry::default();
        let durations = Durations::new(&[0.001]);
        registry.register_durations("send_duration", "Sends", &durations);
        durations.observe(Duration::MAX);
        durations.observe(Duration::MAX);
        let sum = "netrox_chat_send_duration_seconds_sum 7200.0";
        has(&registry, &[sum, "netrox_chat_send_duration_seconds_count 2"]);
    }

    #[test]
    fn a_queue_is_looked_at_when_somebody_asks() {
        let registry = Registry::default();
        registry.queues().add_refusing("commits", 8, || Some(8)).inc();
        // In the place of the first.
        let refused = registry.queues().add_refusing("commits", 16, || Some(3));
        registry.queues().add_refusing("gone", 16, || None).inc();
        registry.queues().add("patient", 16, || Some(4));
        refused.inc();
        has(
            &registry,
            &[
                "netrox_chat_queue_length{queue=\"commits\"} 3",
                "netrox_chat_queue_limit{queue=\"commits\"} 16",
                "netrox_chat_queue_refusals_total{queue=\"commits\"} 1",
            ],
        );
        let shown = registry.text().expect("text");
        assert!(!shown.contains("queue=\"gone\""), "{shown}");
        assert!(!shown.contains("refusals_total{queue=\"patient\""), "{shown}");
    }
}
