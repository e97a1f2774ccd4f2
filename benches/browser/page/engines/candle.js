// Plain candle.

import { Candle } from '/pkg/browser_bench.js';
import { description, serve } from '../harness.js';
import { start, workFiles } from './rust.js';

serve(async ({ work }) => {
  const memory = await start();
  const { batches } = await description(work);
  const engine = new Candle(await workFiles(work));
  return {
    batches: batches.length,
    reset: () => engine.reset(),
    infer: (number) => engine.infer(number),
    train: (number) => engine.train(number),
    memory: () => memory.buffer.byteLength,
  };
});
