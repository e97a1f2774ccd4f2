// Our learner in one worker, or in several by the client's own pool of them.

import { description, serve } from '../harness.js';
import { start, workFiles } from './rust.js';

/** Starts a worker for a helper; the answer ends it. */
function starter(folder) {
  return (port, module) => {
    const worker = new Worker('/engines/helper.js', { type: 'module' });
    worker.postMessage({ folder, module, port }, [port]);
    return () => worker.terminate();
  };
}

serve(async ({ work, workers }) => {
  const { bindings, memory, folder, detail } = await start();
  const { batches } = await description(work);
  let heard = () => {};
  const emit = (event) => heard(event);
  const engine = new bindings.Lpfl(await workFiles(bindings, work), emit, starter(folder));
  const shared = {
    batches: batches.length,
    detail,
    reset: () => engine.reset(),
    memory: () => memory.buffer.byteLength,
  };
  if (workers === 1) {
    return {
      ...shared,
      infer: (number) => engine.infer(number),
      train: (number) => engine.train(number),
    };
  }
  await new Promise((resolve) => {
    heard = ({ type, ready }) => {
      if (type === 'workers' && ready === workers) {
        resolve();
      }
    };
    engine.share(workers);
  });
  return {
    ...shared,
    infer: (number) => engine.inferTogether(number),
    train: (number) => engine.trainTogether(number),
  };
});
