// The module of the engines written in Rust, and a work's files for them.

import { file } from '../harness.js';

/** A function of one `f32x4.relaxed_madd`. */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0, 65, 0, 253, 15,
  65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11,
]);

/** The bindings, in the build that the product's page would load, their memory, and which it is. */
export async function start() {
  const relaxed = await load('/pkg/relaxed', WebAssembly.validate(RELAXED));
  return relaxed ?? (await load('/pkg', true));
}

/** The module of a folder; null where it is not to be used, or was not built for a quick run. */
async function load(folder, usable) {
  const script = `${folder}/browser_bench.js`;
  if (!usable || !(await fetch(script)).ok) {
    return null;
  }
  const bindings = await import(script);
  const { memory } = await bindings.default({ module_or_path: `${folder}/browser_bench_bg.wasm` });
  const detail = folder === '/pkg' ? 'plain SIMD build' : 'relaxed SIMD build';
  return { bindings, memory, folder, detail };
}

/** The work's files for one engine, which takes them over. */
export async function workFiles(bindings, work) {
  const names = [
    'work.json',
    'config.json',
    'tokenizer.json',
    'model.safetensors',
    'adapter_config.json',
    'adapter_model.safetensors',
  ];
  return new bindings.WorkFiles(...(await Promise.all(names.map((name) => file(work, name)))));
}
