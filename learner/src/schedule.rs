//! The learning rate over the steps of one local round.

use fl_core::settings::{Decay, TrainingSettings};

/// Linear warm-up from zero, then constant or a linear fall to zero.
///
/// The factors are those of transformers' `get_linear_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    peak: f32,
    warmup: u32,
    total: u32,
    decay: Decay,
}

impl Schedule {
    /// The schedule for `total` steps.
    ///
    /// The warm-up's share is rounded down: its first step has a rate of zero, and a round of
    /// few steps has none to waste.
    pub fn new(settings: &TrainingSettings, total: u32) -> Self {
        Self {
            peak: settings.learning_rate,
            warmup: (f64::from(settings.warmup) * f64::from(total)).floor() as u32,
            total,
            decay: settings.decay,
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u32) -> f32 {
        let ratio = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        let factor = if step < self.warmup {
            ratio(step, self.warmup)
        } else {
            match self.decay {
                Decay::Constant => 1.0,
                Decay::Linear => {
                    let left = self.total.saturating_sub(step);
                    ratio(left, self.total.saturating_sub(self.warmup))
                }
            }
        };
        (f64::from(self.peak) * factor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(decay: Decay, warmup: f32, total: u32) -> Vec<f32> {
        let settings = TrainingSettings {
            learning_rate: 1.0,
            warmup,
            decay,
            ..TrainingSettings::default()
        };
        let schedule = Schedule::new(&settings, total);
        (0..=total).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn linear_rises_and_falls_as_in_transformers() {
        // get_linear_schedule_with_warmup(optimizer, 2, 10): lambda(0..=10).
        let expected = [
            0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0,
        ];
        assert_eq!(rates(Decay::Linear, 0.2, 10), expected);
    }

    #[test]
    fn constant_stays_at_the_peak() {
        assert_eq!(rates(Decay::Constant, 0.5, 4), [0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn few_steps_waste_none_on_warmup() {
        assert_eq!(rates(Decay::Linear, 0.1, 2), [1.0, 0.5, 0.0]);
        assert_eq!(rates(Decay::Linear, 1.0, 0), [0.0]);
    }
}
