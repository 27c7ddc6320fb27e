//! What one measurement of one build gave.

use serde::Serialize;

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    More,
    Less,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) better: Better,
    pub(super) unit: &'static str,
    pub(super) value: f64,
}

impl Figure {
    pub(super) fn more(what: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, better: Better::More, unit, value }
    }

    pub(super) fn less(what: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, better: Better::Less, unit, value }
    }
}

impl Better {
    /// Whether a ratio (this build by the other) is worse than 1 by more than `share`.
    pub(super) fn is_worse(self, ratio: f64, share: f64) -> bool {
        match self {
            Self::More => ratio < 1.0 - share,
            Self::Less => ratio > 1.0 + share,
        }
    }

    /// Whether it is better than 1 by more than `share`.
    pub(super) fn is_better(self, ratio: f64, share: f64) -> bool {
        match self {
            Self::More => Self::Less.is_worse(ratio, share),
            Self::Less => Self::More.is_worse(ratio, share),
        }
    }
}
