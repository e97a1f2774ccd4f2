// The module of the engines written in Rust, and a work's files for them.

import { file } from '../harness.js';

/** A function of one `f32x4.relaxed_madd`. */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0, 65, 0, 253, 15,
  65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11,
]);

const DETAILS = {
  '/pkg': 'plain SIMD build',
  '/pkg/relaxed': 'relaxed SIMD build',
  '/pkg/candle': 'SIMD build as it comes',
};

/** The bindings, in the build that the product's page would load, their memory, and which it is. */
export async function start() {
  const relaxed = WebAssembly.validate(RELAXED) && (await load('/pkg/relaxed'));
  return relaxed || load('/pkg');
}

/** The module of a folder; null where it was not built for a quick run. */
export async function load(folder) {
  const script = `${folder}/browser_bench.js`;
  if (!(await fetch(script)).ok) {
    return null;
  }
  const bindings = await import(script);
  const { memory } = await bindings.default({ module_or_path: `${folder}/browser_bench_bg.wasm` });
  return { bindings, memory, folder, detail: DETAILS[folder] };
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
