//! Steps that take whole adapters in hand leave their task's thread to others.

use fl_core::adapter::Adapter;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Parameters above which adding and hashing adapters takes long.
const HEAVY_PARAMETERS: usize = 128 * 1024;

/// Runs a step that may add, average or hash adapters like this one.
pub(crate) fn heavily<T>(adapter: &Adapter, step: impl FnOnce() -> T) -> T {
    let parameters = || {
        let matrices = adapter.matrices.values();
        matrices.map(|matrix| matrix.values.len()).sum::<usize>()
    };
    let others = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    match others && parameters() > HEAVY_PARAMETERS {
        true => tokio::task::block_in_place(step),
        false => step(),
    }
}
