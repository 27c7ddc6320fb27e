//! Two builds by turns, and ten turns more for what seems beyond.

use serde::Serialize;

use super::{compared::Compared, figure::Figure};
use crate::Result;

/// How many more a figure gets that seems beyond. These count, not the first.
pub(super) const MORE: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Which {
    This,
    Other,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::This => "this build",
            Self::Other => "the other build",
        })
    }
}

/// A build that a scenario could not be measured on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) which: Which,
    pub(super) why: String,
}

/// Measures both builds in each turn. Who was first in one is second in the next, so that what the machine
/// does meanwhile hits both.
pub(super) async fn take(
    turns: u32,
    mut measure: impl AsyncFnMut(u32, Which) -> Result<Vec<Figure>>,
) -> std::result::Result<Vec<Compared>, Failed> {
    let mut by_figure: Vec<Vec<(Figure, Figure)>> = Vec::new();
    for turn in 1..=turns {
        let mut figures = async |which| {
            let measured = measure(turn, which).await;
            measured.map_err(|error| Failed { which, why: error.to_string() })
        };
        let (this, other) = if turn % 2 == 1 {
            let this = figures(Which::This).await?;
            (this, figures(Which::Other).await?)
        } else {
            let other = figures(Which::Other).await?;
            (figures(Which::This).await?, other)
        };
        for (at, pair) in this.into_iter().zip(other).enumerate() {
            if at == by_figure.len() {
                by_figure.push(Vec::new());
            }
            by_figure[at].push(pair);
        }
    }
    Ok(by_figure.iter().map(|turns| Compared::new(turns)).collect())
}

/// Takes [`MORE`] turns where a figure of a scenario seems beyond; they replace the turns of such figures, and of
/// no other.
pub(super) async fn take_more(
    compared: &mut [Compared],
    measure: impl AsyncFnMut(u32, Which) -> Result<Vec<Figure>>,
) -> std::result::Result<(), Failed> {
    if !compared.iter().any(Compared::is_beyond) {
        return Ok(());
    }
    for again in take(MORE, measure).await? {
        let same = compared.iter_mut().find(|one| one.is_beyond() && one.what == again.what);
        if let Some(same) = same {
            *same = again;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Which::{Other, This};

    /// Two builds, of which this has the given rate and latency where the other has 100 of each.
    async fn measured(which: Which, rate: f64, latency: f64) -> Result<Vec<Figure>> {
        let (rate, latency) = if which == This { (rate, latency) } else { (100.0, 100.0) };
        Ok(vec![Figure::more("rate", rate, "/s"), Figure::less("latency", latency, " ms")])
    }

    #[tokio::test]
    async fn the_first_of_a_turn_is_the_second_of_the_next() {
        let mut order = Vec::new();
        let compared = take(3, async |turn, which| {
            order.push((turn, which));
            measured(which, 100.0, 101.0).await
        });
        let compared = compared.await.unwrap();
        assert_eq!(order, [(1, This), (1, Other), (2, Other), (2, This), (3, This), (3, Other)]);
        assert_eq!(compared[0].ratios, [1.0; 3]);
        assert_eq!(compared[1].ratios, [1.01; 3]);
    }

    #[tokio::test]
    async fn what_is_within_is_not_measured_again() {
        let mut compared =
            take(5, async |_, which| measured(which, 97.0, 50.0).await).await.unwrap();
        let first = compared.clone();
        let more = take_more(&mut compared, async |_, _| Err("nothing was to be measured".into()));
        assert_eq!(more.await, Ok(()));
        assert_eq!(compared, first);
    }

    #[tokio::test]
    async fn ten_more_turns_count_instead_of_the_first_that_seemed_beyond() {
        let mut compared =
            take(5, async |_, which| measured(which, 90.0, 100.0).await).await.unwrap();
        assert!(compared[0].is_beyond() && !compared[1].is_beyond());
        let mut turns = 0;
        let more = take_more(&mut compared, async |turn, which| {
            turns = turns.max(turn);
            // The latency is worse this time. It was within, and that counts.
            measured(which, 98.0, 120.0).await
        });
        assert_eq!(more.await, Ok(()));
        assert_eq!(turns, MORE);
        assert_eq!(compared[0].ratios, [0.98; MORE as usize]);
        assert!(!compared[0].is_beyond());
        assert_eq!(compared[1].ratios, [1.0; 5]);
    }

    #[tokio::test]
    async fn what_is_beyond_in_ten_more_turns_stays_so() {
        let slow = async |_, which| measured(which, 90.0, 100.0).await;
        let mut compared = take(5, slow).await.unwrap();
        assert_eq!(take_more(&mut compared, slow).await, Ok(()));
        assert!(compared[0].is_beyond());
        assert_eq!(compared[0].ratios.len(), MORE as usize);
    }

    #[tokio::test]
    async fn a_build_that_cannot_be_measured_is_named() {
        let measure = async |turn, which| match (turn, which) {
            (2, Other) => Err("an unknown flag".into()),
            _ => measured(which, 100.0, 100.0).await,
        };
        let failed = Failed { which: Other, why: "an unknown flag".to_owned() };
        assert_eq!(take(5, measure).await, Err(failed));
    }
}
