//! The engines as JavaScript sees them.

use std::fmt::Display;

use wasm_bindgen::prelude::*;

use crate::{Candle, Files, Lpfl};

/// Our learner.
#[wasm_bindgen(js_name = Lpfl)]
pub struct JsLpfl(Lpfl);

/// Plain candle.
#[wasm_bindgen(js_name = Candle)]
pub struct JsCandle(Candle);

/// The contents of a work's folder.
#[wasm_bindgen]
pub struct WorkFiles {
    work: Vec<u8>,
    config: Vec<u8>,
    tokenizer: Vec<u8>,
    weights: Vec<u8>,
    adapter_config: Vec<u8>,
    adapter: Vec<u8>,
}

fn words(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}

#[wasm_bindgen]
impl WorkFiles {
    /// Takes the files over.
    #[wasm_bindgen(constructor)]
    pub fn new(
        work: Vec<u8>,
        config: Vec<u8>,
        tokenizer: Vec<u8>,
        weights: Vec<u8>,
        adapter_config: Vec<u8>,
        adapter: Vec<u8>,
    ) -> Self {
        Self {
            work,
            config,
            tokenizer,
            weights,
            adapter_config,
            adapter,
        }
    }
}

impl WorkFiles {
    fn files(&self) -> Files<'_> {
        Files {
            work: &self.work,
            config: &self.config,
            tokenizer: &self.tokenizer,
            weights: &self.weights,
            adapter_config: &self.adapter_config,
            adapter: &self.adapter,
        }
    }
}

#[wasm_bindgen(js_class = Lpfl)]
impl JsLpfl {
    /// Reads the work.
    #[wasm_bindgen(constructor)]
    pub fn new(files: WorkFiles) -> Result<Self, JsError> {
        Lpfl::new(&files.files()).map(Self).map_err(words)
    }

    /// Back to the first adapter.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Probabilities of the batch's prompts from `start` to before `end`.
    pub fn infer(&self, number: usize, start: usize, end: usize) -> Result<Vec<f32>, JsError> {
        self.0.infer(number, start..end).map_err(words)
    }

    /// A step; its loss.
    pub fn train(&mut self, number: usize) -> Result<f32, JsError> {
        self.0.train(number).map_err(words)
    }

    /// Loss, weight and gradient of the batch's prompts from `start` to before `end`.
    pub fn gradient(&self, number: usize, start: usize, end: usize) -> Result<Vec<f32>, JsError> {
        self.0.gradient(number, start..end).map_err(words)
    }

    /// A step along the mean of two gradients; its loss.
    pub fn apply(&mut self, one: &[f32], other: &[f32]) -> Result<f32, JsError> {
        self.0.apply(one, other).map_err(words)
    }
}

#[wasm_bindgen(js_class = Candle)]
impl JsCandle {
    /// Reads the work.
    #[wasm_bindgen(constructor)]
    pub fn new(files: WorkFiles) -> Result<Self, JsError> {
        Candle::new(&files.files()).map(Self).map_err(words)
    }

    /// Back to the first adapter.
    pub fn reset(&mut self) -> Result<(), JsError> {
        self.0.reset().map_err(words)
    }

    /// Probabilities of the batch's prompts.
    pub fn infer(&self, number: usize) -> Result<Vec<f32>, JsError> {
        self.0.infer(number).map_err(words)
    }

    /// A step; its loss.
    pub fn train(&mut self, number: usize) -> Result<f32, JsError> {
        self.0.train(number).map_err(words)
    }
}
