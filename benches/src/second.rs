//! Measurements of the second generation.

pub(crate) mod feed;
pub(crate) mod lists;
mod page;
pub(crate) mod presence;
pub(crate) mod star;
pub(crate) mod typing;
mod written;

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
