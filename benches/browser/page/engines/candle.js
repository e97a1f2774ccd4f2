// Plain candle.

import { description, serve } from '../harness.js';
import { start, workFiles } from './rust.js';

serve(async ({ work }) => {
  const { bindings, memory, detail } = await start();
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
});
