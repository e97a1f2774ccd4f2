import { describe, expect, it } from 'vitest';
import { coresByItself, coresFrom, mostCores } from '../src/state/cores';

const none = { address: null, chosen: null, embedded: null };

describe('cores', () => {
  it('leaves one free and takes four at most by itself', () => {
    expect([1, 2, 3, 4, 5, 8, 64].map(coresByItself)).toEqual([1, 1, 2, 3, 4, 4, 4]);
    expect([1, 2, 64].map(mostCores)).toEqual([1, 2, 16]);
    // A browser that does not tell.
    expect(coresFrom(none, Number.NaN)).toBe(1);
  });

  it('takes the address before the choice and the choice before the embedder', () => {
    const wishes = { address: '3', chosen: '2', embedded: '5' };
    expect(coresFrom(wishes, 8)).toBe(3);
    expect(coresFrom({ ...wishes, address: null }, 8)).toBe(2);
    expect(coresFrom({ ...none, embedded: '5' }, 8)).toBe(5);
  });

  it('passes over what is no number of cores', () => {
    for (const wish of ['', '0', '-1', '1.5', 'all', '1e9', '17']) {
      expect(coresFrom({ ...none, address: wish }, 4)).toBe(3);
    }
  });
});
