//! What is shown of certificates, by the words that the log has for them.

use std::sync::{Arc, Weak};

use netrox_metrics::{Looks, Registry};
use prometheus_client::registry::Unit;

use crate::kept::{Renewed, Watched};

/// Has the registry show what is watched, where anything is.
pub fn register(watched: &[Watched], registry: &mut Registry) {
    if watched.is_empty() {
        return;
    }
    let [end, ends_soon, refused] = [(); 3].map(|()| Looks::gauges());
    for Watched(renewed) in watched {
        let labels = [("certificate", renewed.name())];
        let look = || Arc::downgrade(renewed);
        let of = look();
        end.add(labels, move || of.upgrade()?.end());
        let of = look();
        ends_soon.add(labels, move || is_soon(&of));
        let of = look();
        refused.add(labels, move || Some(of.upgrade()?.is_refused().into()));
    }
    registry.register_with_unit(
        "certificate_end_timestamp",
        "When the certificate that is shown ends, in Unix time",
        Unit::Seconds,
        end,
    );
    registry.register(
        "certificate_ends_soon",
        "Whether the certificate that is shown ends within 14 days or a third of its life, or has ended: 1, or 0",
        ends_soon,
    );
    registry.register(
        "certificate_files_refused",
        "Whether what is in the files cannot be used, and what was there before is: 1, or 0",
        refused,
    );
}

/// Nothing where no certificate is shown.
fn is_soon(of: &Weak<dyn Renewed>) -> Option<u64> {
    let renewed = of.upgrade()?;
    renewed.end()?;
    Some(renewed.ends_soon().into())
}
