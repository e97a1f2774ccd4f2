// What the workers of all engines share: the work's files, and steps that are counted and timed.

/** @returns {Promise<Uint8Array>} a file of a work's folder */
export async function file(work, name) {
  const response = await fetch(`/works/${work}/${name}`);
  if (!response.ok) {
    throw new Error(`${name} of ${work}: ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** @returns {Promise<object>} `work.json` */
export async function description(work) {
  return JSON.parse(new TextDecoder().decode(await file(work, 'work.json')));
}

/** The tensors of a safetensors file of f32: `{ name: { shape, values } }`. */
export async function tensors(work, name) {
  const { buffer } = await file(work, name);
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const found = {};
  for (const [key, { shape, data_offsets: offsets }] of Object.entries(header)) {
    if (key !== '__metadata__') {
      const [start, end] = offsets.map((offset) => 8 + length + offset);
      found[key] = { shape, values: new Float32Array(buffer.slice(start, end)) };
    }
  }
  return found;
}

/**
 * Answers the page's messages with an engine.
 *
 * @param {(order: object) => Promise<object>} open makes the engine: `batches`, a count;
 *   `reset()`, back to the first adapter; `infer(number)`, a batch's probabilities; `train(number)`,
 *   a step's loss; `detail`, what is worth saying; `memory()`, bytes of WebAssembly's memory.
 */
export function serve(open) {
  let engine = null;
  const step = (kind, index) => {
    const number = index % engine.batches;
    return kind === 'TRAIN' ? engine.train(number) : engine.infer(number);
  };
  const operations = {
    async open(order) {
      engine = await open(order);
      return { detail: engine.detail ?? null };
    },
    /** What each of some steps from the first adapter on came to. */
    async probe({ kind, steps }) {
      await engine.reset();
      const numbers = [];
      for (let index = 0; index < steps; index += 1) {
        const answer = await step(kind, index);
        numbers.push(...(kind === 'TRAIN' ? [answer] : answer));
      }
      return numbers;
    },
    /** Seconds of some steps from the first adapter on. */
    async run({ kind, steps }) {
      await engine.reset();
      const start = performance.now();
      for (let index = 0; index < steps; index += 1) {
        await step(kind, index);
      }
      return (performance.now() - start) / 1000;
    },
    memory() {
      return engine.memory();
    },
  };
  self.onmessage = async ({ data }) => {
    try {
      self.postMessage({ result: await operations[data.op](data) });
    } catch (error) {
      self.postMessage({ error: String(error?.stack ?? error) });
    }
  };
}
