// The SIMD peak of one core, in billions of operations a second: with multiplication and addition
// apart, with relaxed SIMD's instruction for both, or with its products of bytes.

const ITERATIONS = 4_000_000;

self.onmessage = async ({ data: { op, work } }) => {
  try {
    self.postMessage({ result: await operations[op](work) });
  } catch (error) {
    self.postMessage({ error: String(error?.stack ?? error) });
  }
};

let peak = null;

const operations = {
  /** `work` is the module's name, `plain`, `relaxed` or `int8`; the answer is whether the browser has it. */
  async open(work) {
    try {
      peak = await import(`/pkg/${work}/simd_peak.js`);
      await peak.default({ module_or_path: `/pkg/${work}/simd_peak_bg.wasm` });
    } catch (error) {
      if (error instanceof WebAssembly.CompileError) {
        return { detail: error.message };
      }
      throw error;
    }
    return { detail: null };
  },
  peak() {
    const start = performance.now();
    peak.run(ITERATIONS);
    return (ITERATIONS * peak.operations()) / (performance.now() - start) / 1e6;
  },
};
