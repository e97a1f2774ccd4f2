//! Ranges of numbers, and what is said of a value outside.

use crate::error::SettingsError;

/// Refuses a value outside `low..=high`; NaN is outside every range.
pub(crate) fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), SettingsError> {
    if value >= low && value <= high {
        return Ok(());
    }
    let expected = format!("{low} to {high}");
    Err(SettingsError::new(field, expected, value.to_string()))
}

/// Refuses 0, what is below it, and what is above `high`.
pub(crate) fn positive(field: &str, value: f64, high: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value <= high {
        return Ok(());
    }
    let expected = format!("above 0, at most {high}");
    Err(SettingsError::new(field, expected, value.to_string()))
}

/// Refuses a value that is neither 0 nor in `low..=high`.
pub(super) fn zero_or_within(
    field: &str,
    value: u32,
    low: u32,
    high: u32,
) -> Result<(), SettingsError> {
    if value == 0 {
        return Ok(());
    }
    within(field, value.into(), low.into(), high.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<(), SettingsError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn ranges_hold_their_ends() {
        within("x", 1.0, 1.0, 2.0).unwrap();
        within("x", 2.0, 1.0, 2.0).unwrap();
        positive("x", f64::MIN_POSITIVE, 2.0).unwrap();
        positive("x", 2.0, 2.0).unwrap();
        zero_or_within("x", 0, 3, 4).unwrap();
    }

    #[test]
    fn what_is_outside_is_told_in_short_numbers() {
        assert!(said(within("x", 3.0, 1.0, 2.0)).contains("expected 1 to 2, got 3"));
        for value in [0.0, -1.0, 3.0, f64::NAN] {
            let expected = format!("expected above 0, at most 2, got {value}");
            assert!(said(positive("x", value, 2.0)).contains(&expected));
        }
        assert!(said(zero_or_within("x", 2, 3, 4)).contains("expected 3 to 4, got 2"));
    }
}
