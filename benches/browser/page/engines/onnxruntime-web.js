// ONNX Runtime Web: probabilities by the exported model, on one thread or several.

import * as ort from '/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs';
import { description, file, serve } from '../harness.js';

serve(async ({ work, workers }) => {
  if (workers > 1 && !self.crossOriginIsolated) {
    throw new Error('threads need cross-origin isolation, which this page lacks');
  }
  ort.env.wasm.numThreads = workers;
  ort.env.wasm.wasmPaths = new URL('/node_modules/onnxruntime-web/dist/', self.location).href;
  const session = await ort.InferenceSession.create(await file(work, 'model.onnx'), {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
  });
  const { batches } = await description(work);
  const inputs = batches.map(({ prompts }) => {
    const count = prompts.length;
    const ids = prompts.flatMap((prompt) => prompt.ids);
    const tensor = (numbers, shape) =>
      new ort.Tensor('int64', BigInt64Array.from(numbers, BigInt), shape);
    return {
      ids: tensor(ids, [count, ids.length / count]),
      masks: tensor(prompts.map((prompt) => prompt.mask), [count]),
    };
  });
  return {
    batches: batches.length,
    reset() {},
    async infer(number) {
      const { probabilities } = await session.run(inputs[number]);
      return Array.from(probabilities.data);
    },
    train() {
      throw new Error('ONNX Runtime Web is asked only');
    },
  };
});
