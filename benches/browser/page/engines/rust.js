// The module of the engines written in Rust, and a work's files for them.

import init, { WorkFiles } from '/pkg/browser_bench.js';
import { file } from '../harness.js';

/** Loads the module, which is needed before anything of it; its memory. */
export async function start() {
  const { memory } = await init({ module_or_path: '/pkg/browser_bench_bg.wasm' });
  return memory;
}

/** @returns {Promise<WorkFiles>} for one engine, which takes them over */
export async function workFiles(work) {
  const names = [
    'work.json',
    'config.json',
    'tokenizer.json',
    'model.safetensors',
    'adapter_config.json',
    'adapter_model.safetensors',
  ];
  return new WorkFiles(...(await Promise.all(names.map((name) => file(work, name)))));
}
