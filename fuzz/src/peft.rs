//! PEFT directories: what is read is finite, has the model's shapes, and is the same when written anew.

use std::sync::LazyLock;

use learner::BaseModel;
use learner::peft;
use learner::testing::{Files, Shape};

use crate::memory::bounded;
use crate::same::{assert_filled, assert_same};

/// Bytes that an adapter may take for each of its files' own.
const EACH: usize = 512;

static BASE: LazyLock<BaseModel> = LazyLock::new(base);

/// The model that adapters are read for.
pub fn base() -> BaseModel {
    Files::new(Shape::TINY, 7).load().unwrap()
}

/// The length of the configuration in two bytes, the configuration, the weights.
pub fn any(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (config, weights) = rest.split_at(length);
    let base = &*BASE;
    let read = match bounded(bytes.len(), EACH, || peft::read(base, config, weights)) {
        Ok(read) => read,
        Err(error) => {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            return;
        }
    };
    read.lora.check().unwrap();
    assert_filled(&read.adapter);
    read.adapter.layout().check(&read.adapter).unwrap();
    let name = read.base_model.as_deref().unwrap_or("base");
    let config = peft::config(base, &read.lora, name);
    let again = peft::read(base, &config, &peft::weights(&read.adapter)).unwrap();
    assert_eq!(again.lora, read.lora);
    assert_same(&again.adapter, &read.adapter);
}
