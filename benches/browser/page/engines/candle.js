// Plain candle.

import init, { Candle } from '/pkg/browser_bench.js';
import { description, serve } from '../harness.js';
import { workFiles } from './rust.js';

serve(async ({ work }) => {
  const { memory } = await init();
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
