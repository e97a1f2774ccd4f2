import { describe, expect, it } from 'vitest';
import type { Evaluated } from '../src/generated/Evaluated';
import type { Fault } from '../src/generated/Fault';
import type { FaultCode } from '../src/generated/FaultCode';
import type { RoundRecord } from '../src/generated/RoundRecord';
import { emptyRoom, NOTICES_KEPT, reduce, watch } from '../src/state/room';
import { welcome, member, view } from './samples';

const fault = (code: FaultCode): Fault => ({ code, blame: 'client', message: 'm', mend: 'n' });

const point = (round: number, accuracy: number): Evaluated => ({
  round,
  hash: 'h',
  count: 10,
  accuracy,
  macro_f1: accuracy,
  loss: 1,
});

const record = (round: number, attempt: number): RoundRecord => ({
  round,
  attempt,
  outcome: { type: 'completed', hash: 'h' },
  selected: 2,
  reported: 2,
  participants: [1, 2],
  excluded: [],
  gold: 4,
  soft: 0,
  loss: null,
  duration_ms: 10,
  bytes_up: 20,
});

describe('reduce', () => {
  it('turns waiting times into moments', () => {
    const room = reduce(emptyRoom, { type: 'connection', state: 'waiting', retry_ms: 2000 }, 500);
    expect(room.link).toEqual({ state: 'waiting', retryAt: 2500 });
    const phase = { type: 'working', round: 1, attempt: 1, selected: 2, reported: 0 } as const;
    const working = view({ phase: { ...phase, deadline_ms: 3000 } });
    expect(reduce(room, { type: 'room', ...working }, 100).deadlineAt).toBe(3100);
    expect(reduce(room, { type: 'room', ...view({}) }, 100).deadlineAt).toBeNull();
  });

  it('knows how many workers share the work', () => {
    const room = reduce(emptyRoom, { type: 'workers', ready: 3, helped: 40 }, 0);
    expect(room.workers).toEqual({ ready: 3, helped: 40 });
  });

  it('keeps past rounds once when a reconnection repeats them', () => {
    const again = { ...welcome, history: [record(1, 1), record(1, 2)], evaluations: [point(0, 0.5)] };
    let room = reduce(emptyRoom, { type: 'welcomed', ...again }, 0);
    room = reduce(room, { type: 'round_ended', ...record(2, 1) }, 0);
    room = reduce(room, { type: 'evaluated', ...point(1, 0.6) }, 0);
    room = reduce(room, { type: 'welcomed', ...again }, 0);
    expect(room.history.map(({ round, attempt }) => [round, attempt])).toEqual([
      [1, 1],
      [1, 2],
      [2, 1],
    ]);
    expect(room.evaluations.map(({ round }) => round)).toEqual([0, 1]);
  });

  it('lets a newer measurement of a round replace the older one', () => {
    let room = reduce(emptyRoom, { type: 'evaluated', ...point(1, 0.6) }, 0);
    room = reduce(room, { type: 'evaluated', ...point(1, 0.7) }, 0);
    expect(room.evaluations).toHaveLength(1);
    expect(room.evaluations[0]?.accuracy).toBe(0.7);
  });

  it('remembers the name of a member who left', () => {
    let room = reduce(emptyRoom, { type: 'room', ...view({ members: [member(3, 'Zoë')] }) }, 0);
    room = reduce(room, { type: 'room', ...view({ members: [] }) }, 0);
    expect(room.names[3]).toBe('Zoë');
  });

  it('keeps one notice of a kind, newest first, and only a few', () => {
    let room = emptyRoom;
    for (const code of ['malformed', 'oversized', 'stale_round', 'malformed', 'internal'] as const) {
      room = reduce(room, { type: 'fault', ...fault(code) }, 0);
    }
    expect(room.notices.map(({ code }) => code)).toEqual(['internal', 'malformed', 'stale_round']);
    expect(room.notices).toHaveLength(NOTICES_KEPT);
  });

  it('forgets its place when it stops, and keeps the results', () => {
    let room = reduce(emptyRoom, { type: 'welcomed', ...welcome }, 0);
    room = reduce(room, { type: 'evaluated', ...point(1, 0.6) }, 0);
    room = reduce(room, { type: 'stopped', fault: fault('removed') }, 0);
    expect(room.me).toBeNull();
    expect(room.stopped).toEqual({ fault: fault('removed') });
    expect(room.evaluations).toHaveLength(1);
  });

  it('changes nothing but what an event is about', () => {
    const room = reduce(emptyRoom, { type: 'evaluated', ...point(1, 0.6) }, 0);
    const later = reduce(room, { type: 'traffic', direction: 'up', what: 'hello', bytes: 9 }, 0);
    expect(later.evaluations).toBe(room.evaluations);
    expect(later.ledger.up).toBe(9);
  });
});

describe('watch', () => {
  it('fills a room from outside without joining it', () => {
    const { settings, model } = welcome;
    const info = { view: view({}), settings, model, recorded: true, history: [record(1, 1)], evaluations: [] };
    const room = watch(emptyRoom, info, 0);
    expect(room.me).toBeNull();
    expect(room.history).toHaveLength(1);
    expect(room.link.state).toBe('idle');
    expect(room.recorded).toBe(true);
  });
});
