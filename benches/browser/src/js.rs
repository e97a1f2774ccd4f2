//! The engines as JavaScript sees them.

use std::fmt::Display;
use std::rc::Rc;

use client_wasm::js::{Crew, Page};
use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::{Candle, Files, Lpfl};

/// Our learner, and the client's own pool of workers.
#[wasm_bindgen(js_name = Lpfl)]
pub struct JsLpfl {
    engine: Lpfl,
    crew: Rc<Crew>,
}

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
    /// Reads the work. `emit` and `spawn` are as for the client.
    #[wasm_bindgen(constructor)]
    pub fn new(files: WorkFiles, emit: Function, spawn: Function) -> Result<Self, JsError> {
        let crew = Crew::new(Page::new(emit), Some(spawn));
        let model: [(&str, &[u8]); 3] = [
            ("config.json", &files.config),
            ("tokenizer.json", &files.tokenizer),
            ("model.safetensors", &files.weights),
        ];
        crew.share_model(&model);
        Ok(Self {
            engine: Lpfl::new(&files.files()).map_err(words)?,
            crew: Rc::new(crew),
        })
    }

    /// Prepares helpers, so that this many workers share the work.
    pub fn share(&self, workers: u32) {
        self.crew.allow(workers);
        self.crew
            .prepare(self.engine.learner(), self.engine.texts());
    }

    /// Back to the first adapter.
    pub fn reset(&mut self) {
        self.engine.reset();
    }

    /// Probabilities of the batch's prompts.
    pub fn infer(&self, number: usize) -> Result<Vec<f32>, JsError> {
        self.engine.infer(number).map_err(words)
    }

    /// The same with helpers.
    #[wasm_bindgen(js_name = inferTogether)]
    pub async fn infer_together(&self, number: usize) -> Result<Vec<f32>, JsError> {
        let done = self.engine.infer_with(number, &*self.crew).await;
        done.map_err(words)
    }

    /// A step; its loss.
    pub fn train(&mut self, number: usize) -> Result<f32, JsError> {
        self.engine.train(number).map_err(words)
    }

    /// The same with helpers.
    #[wasm_bindgen(js_name = trainTogether)]
    pub async fn train_together(&mut self, number: usize) -> Result<f32, JsError> {
        let done = self.engine.train_with(number, &*self.crew).await;
        done.map_err(words)
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
