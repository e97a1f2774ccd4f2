// A work's files for the engines written in Rust.

import { WorkFiles } from '/pkg/browser_bench.js';
import { file } from '../harness.js';

/** The module must have been initialised. */
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
