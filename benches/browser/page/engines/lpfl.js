// Our learner: one worker, or one of two that split each batch and exchange what they computed.

import { description, serve } from '../harness.js';
import { start, workFiles } from './rust.js';

/** Sends numbers to the other worker and waits for its own. */
function exchange(port) {
  const arrived = [];
  let wake = null;
  port.onmessage = ({ data }) => {
    arrived.push(data);
    wake?.();
  };
  return async (numbers) => {
    const copy = numbers.slice();
    port.postMessage(copy, [copy.buffer]);
    while (arrived.length === 0) {
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
    return arrived.shift();
  };
}

serve(async ({ work, half, port }) => {
  const { bindings, memory, detail } = await start();
  const { batches } = await description(work);
  const engine = new bindings.Lpfl(await workFiles(bindings, work));
  const sizes = batches.map(({ prompts }) => prompts.length);
  const shared = {
    batches: sizes.length,
    detail,
    reset: () => engine.reset(),
    memory: () => memory.buffer.byteLength,
  };
  if (port === undefined) {
    return {
      ...shared,
      infer: (number) => engine.infer(number, 0, sizes[number]),
      train: (number) => engine.train(number),
    };
  }
  const swap = exchange(port);
  // Both workers put the halves in the same order, so that they stay equal bit for bit.
  const both = async (own) => {
    const other = await swap(own);
    return half === 0 ? [own, other] : [other, own];
  };
  const part = (number) => {
    const middle = Math.ceil(sizes[number] / 2);
    return half === 0 ? [0, middle] : [middle, sizes[number]];
  };
  return {
    ...shared,
    async infer(number) {
      const [first, second] = await both(engine.infer(number, ...part(number)));
      return [...first, ...second];
    },
    async train(number) {
      const [first, second] = await both(engine.gradient(number, ...part(number)));
      return engine.apply(first, second);
    },
  };
});
