// The byte ledger: everything that left this tab or came in, by type and one by one.

import type { Direction } from '../generated/Direction';
import type { Traffic } from '../generated/Traffic';

/** All messages of one type and direction. */
export type LedgerRow = {
  direction: Direction;
  what: string;
  count: number;
  bytes: number;
  largest: number;
};

/** One message. */
export type LedgerEntry = Traffic & { at: number };

export type Ledger = {
  up: number;
  down: number;
  rows: LedgerRow[];
  /** The newest messages, newest first. */
  recent: LedgerEntry[];
};

export const RECENT_KEPT = 100;

export const emptyLedger: Ledger = { up: 0, down: 0, rows: [], recent: [] };

/** The ledger with one more message in it. */
export function record(ledger: Ledger, traffic: Traffic, now: number): Ledger {
  const { direction, what, bytes } = traffic;
  const known = ledger.rows.some((row) => row.direction === direction && row.what === what);
  const rows = known
    ? ledger.rows.map((row) =>
        row.direction === direction && row.what === what
          ? {
              ...row,
              count: row.count + 1,
              bytes: row.bytes + bytes,
              largest: Math.max(row.largest, bytes),
            }
          : row,
      )
    : [...ledger.rows, { direction, what, count: 1, bytes, largest: bytes }];
  return {
    up: ledger.up + (direction === 'up' ? bytes : 0),
    down: ledger.down + (direction === 'down' ? bytes : 0),
    rows: rows.sort((a, b) => b.bytes - a.bytes),
    recent: [{ direction, what, bytes, at: now }, ...ledger.recent].slice(0, RECENT_KEPT),
  };
}

/** Size of the largest update that this tab sent, where it has sent one. */
export function updateBytes(ledger: Ledger): number | null {
  const row = ledger.rows.find((row) => row.direction === 'up' && row.what === 'report');
  return row ? row.largest : null;
}
