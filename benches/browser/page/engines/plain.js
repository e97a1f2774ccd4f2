// Plain candle at a work, in either build.

import { description } from '../harness.js';
import { workFiles } from './rust.js';

/** The engine for `serve`, with the build that is being loaded. */
export async function candle(loading, work) {
  const { bindings, memory, detail } = await loading;
  const { batches } = await description(work);
  const engine = new bindings.Candle(await workFiles(bindings, work));
  return {
    batches: batches.length,
    detail,
    reset: () => engine.reset(),
    infer: (number) => engine.infer(number),
    train: (number) => engine.train(number),
    memory: () => memory.buffer.byteLength,
  };
}
