import { describe, expect, it } from 'vitest';
import { buildFor } from '../src/program';

describe('the build that a browser gets', () => {
  it('is the one that its instructions allow', () => {
    const longest = (length: number) => (module: Uint8Array) => module.length <= length;
    expect(buildFor(() => true)).toBe('relaxed-simd');
    expect(buildFor(longest(30))).toBe('simd');
    expect(buildFor(() => false)).toBeNull();
  });

  it('is decided by modules that engines with SIMD take', () => {
    const asked: boolean[] = [];
    buildFor((module) => {
      asked.push(WebAssembly.validate(module));
      return false;
    });
    // Relaxed SIMD came to Node.js with version 22.
    expect(asked.at(-1)).toBe(true);
  });
});
