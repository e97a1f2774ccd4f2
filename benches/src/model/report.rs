//! One line a figure: a table for people, JSON for programs.

use std::path::Path;

use serde::Serialize;

/// A measured accuracy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The data set.
    pub set: &'static str,
    /// Gold labels that were trained on, all clients together.
    pub labels: u32,
    /// How the model was used.
    pub method: &'static str,
    /// Mean share labelled right, over the seeds.
    pub accuracy_mean: f64,
    /// Standard deviation over the seeds, with n − 1; 0 for one seed.
    pub accuracy_std: f64,
    /// Seeds.
    pub seeds: u32,
    /// Test texts.
    pub texts: u32,
    /// What else decides the figure.
    pub settings: serde_json::Value,
}

impl Line {
    /// The line for these accuracies, one a seed.
    pub fn new(
        set: &'static str,
        labels: u32,
        method: &'static str,
        accuracies: &[f64],
        texts: usize,
        settings: serde_json::Value,
    ) -> Self {
        Self {
            set,
            labels,
            method,
            accuracy_mean: mean(accuracies),
            accuracy_std: deviation(accuracies),
            seeds: accuracies.len() as u32,
            texts: texts as u32,
            settings,
        }
    }
}

/// Prints lines as they come.
pub struct Report {
    model: String,
    json: bool,
    begun: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    model: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

impl Report {
    /// A report on the model of this name.
    pub fn new(model: String, json: bool) -> Self {
        Self {
            model,
            json,
            begun: false,
        }
    }

    /// Prints lines.
    pub fn lines(&mut self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            self.line(&line);
        }
    }

    /// Says that a set was not measured.
    pub fn absent(&self, set: &str, folder: &Path) {
        eprintln!(
            "bench: {set} is not in {}: not measured (--data names another folder)",
            folder.display()
        );
    }

    fn line(&mut self, line: &Line) {
        if self.json {
            let model = &self.model;
            // Text keys and finite numbers are always JSON.
            let text = serde_json::to_string(&Named { model, line }).unwrap_or_default();
            println!("{text}");
            return;
        }
        if !self.begun {
            println!("model {}", self.model);
            println!("set      labels  method                   accuracy       texts  settings");
            self.begun = true;
        }
        println!(
            "{:<8} {:>6}  {:<23} {:>5.1} ± {:<4.1} %  {:>6}  {}",
            line.set,
            line.labels,
            line.method,
            100.0 * line.accuracy_mean,
            100.0 * line.accuracy_std,
            line.texts,
            line.settings,
        );
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let middle = mean(values);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_a_sample() {
        let line = Line::new("a", 8, "lora", &[0.5, 0.7, 0.9], 10, serde_json::json!({}));
        assert!((line.accuracy_mean - 0.7).abs() < 1e-12);
        assert!((line.accuracy_std - 0.2).abs() < 1e-12);
        assert_eq!(deviation(&[0.5]), 0.0);
    }

    #[test]
    fn json_names_model_set_labels_and_method() {
        let line = Line::new("sst2", 128, "lora", &[0.8], 10, serde_json::json!({}));
        let named = Named {
            model: "default",
            line: &line,
        };
        let json = serde_json::to_value(&named).unwrap();
        assert_eq!(json["model"], "default");
        assert_eq!(json["set"], "sst2");
        assert_eq!(json["labels"], 128);
        assert_eq!(json["method"], "lora");
        assert_eq!(json["accuracy_mean"], 0.8);
        assert_eq!(json["accuracy_std"], 0.0);
    }
}
