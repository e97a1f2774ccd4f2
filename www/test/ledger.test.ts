import { describe, expect, it } from 'vitest';
import { fullModelBytes, timesMore } from '../src/state/facts';
import { emptyLedger, RECENT_KEPT, record, updateBytes } from '../src/state/ledger';
import { emptyRoom, reduce } from '../src/state/room';
import { welcome } from './samples';

describe('record', () => {
  it('sums by type and direction, largest sum first', () => {
    let ledger = record(emptyLedger, { direction: 'up', what: 'progress', bytes: 80 }, 1);
    ledger = record(ledger, { direction: 'up', what: 'report', bytes: 1000 }, 2);
    ledger = record(ledger, { direction: 'up', what: 'progress', bytes: 90 }, 3);
    ledger = record(ledger, { direction: 'down', what: 'report', bytes: 5 }, 4);
    expect([ledger.up, ledger.down]).toEqual([1170, 5]);
    expect(ledger.rows).toEqual([
      { direction: 'up', what: 'report', count: 1, bytes: 1000, largest: 1000 },
      { direction: 'up', what: 'progress', count: 2, bytes: 170, largest: 90 },
      { direction: 'down', what: 'report', count: 1, bytes: 5, largest: 5 },
    ]);
    expect(updateBytes(ledger)).toBe(1000);
  });

  it('keeps only the newest single messages and every byte of the sums', () => {
    let ledger = emptyLedger;
    for (let at = 0; at < RECENT_KEPT + 20; at += 1) {
      ledger = record(ledger, { direction: 'down', what: 'heartbeat', bytes: 2 }, at);
    }
    expect(ledger.recent).toHaveLength(RECENT_KEPT);
    expect(ledger.recent[0]?.at).toBe(RECENT_KEPT + 19);
    expect(ledger.down).toBe(2 * (RECENT_KEPT + 20));
  });

  it('leaves the ledger before it as it was', () => {
    const before = record(emptyLedger, { direction: 'up', what: 'hello', bytes: 1 }, 0);
    const rows = structuredClone(before.rows);
    record(before, { direction: 'up', what: 'hello', bytes: 7 }, 0);
    expect(before.rows).toEqual(rows);
  });
});

describe('comparison with the full model', () => {
  it('counts four bytes a parameter against the update that was sent', () => {
    let room = reduce(emptyRoom, { type: 'welcomed', ...welcome }, 0);
    expect(fullModelBytes(room)).toBe(4000);
    expect(timesMore(room)).toBeNull();
    room = reduce(room, { type: 'traffic', direction: 'up', what: 'report', bytes: 40 }, 0);
    expect(timesMore(room)).toBe(100);
  });
});
