//! How the documented API tells the size of a file.

use std::borrow::Cow;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// `attached_file_size` of a message: `0kb` without a file.
pub fn text(bytes: Option<i64>) -> Cow<'static, str> {
    match bytes {
        None => "0kb".into(),
        Some(bytes) if bytes as f64 / MIB > 1.0 => format!("{:.2}MB", bytes as f64 / MIB).into(),
        Some(bytes) => format!("{:.2}KB", bytes as f64 / KIB).into(),
    }
}

/// A number of bytes that is told so; none of what is told of no file.
pub fn bytes(told: &str) -> Option<i64> {
    let (number, unit) = told.split_at_checked(told.len().checked_sub(2)?)?;
    let unit = match unit {
        "KB" => KIB,
        "MB" => MIB,
        _ => return None,
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| *number >= 0.0)?;
    let about = (number * unit).round() as i64;
    // A megabyte is told in kilobytes, and what is a byte larger is not.
    [about, about.saturating_add(1)].into_iter().find(|bytes| text(Some(*bytes)) == told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_kilobytes_up_to_one_megabyte() {
        let cases: [(Option<i64>, &str); 9] = [
            (None, "0kb"),
            (Some(0), "0.00KB"),
            (Some(1), "0.00KB"),
            (Some(1023), "1.00KB"),
            (Some(88_812), "86.73KB"),
            (Some(1_048_576), "1024.00KB"),
            (Some(1_048_577), "1.00MB"),
            (Some(1_572_864), "1.50MB"),
            (Some(26_214_400), "25.00MB"),
        ];
        for (size, told) in cases {
            assert_eq!(text(size), told, "{size:?}");
            if size.is_some() {
                assert_eq!(text(bytes(told)), told);
            }
        }
        for wrong in ["", "0kb", "KB", "x.KB", "-1.00KB", "1.5MB", "1.00GB", "1\u{e9}", "NaNKB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
