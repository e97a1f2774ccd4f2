// What the page knows of a room, and how each event of the worker changes it. Pure: time is an
// argument.

import type { ClientId } from '../generated/ClientId';
import type { Connection } from '../generated/Connection';
import type { Evaluated } from '../generated/Evaluated';
import type { Event } from '../generated/Event';
import type { Fault } from '../generated/Fault';
import type { ModelInfo } from '../generated/ModelInfo';
import type { Progress } from '../generated/Progress';
import type { RoomSettings } from '../generated/RoomSettings';
import type { RoomView } from '../generated/RoomView';
import type { RoundRecord } from '../generated/RoundRecord';
import type { Storage } from '../generated/Storage';
import { emptyLedger, record, type Ledger } from './ledger';
import { answered, type Trial } from './trial';

type Of<T extends Event['type']> = Omit<Extract<Event, { type: T }>, 'type'>;

/** This tab's link to the server; `idle` before it joins and after it stops. */
export type Link =
  | { state: 'idle' }
  | { state: 'connecting' }
  | { state: 'connected' }
  | { state: 'waiting'; retryAt: number };

export type RoomState = {
  link: Link;
  me: ClientId | null;
  resume: string | null;
  settings: RoomSettings | null;
  model: ModelInfo | null;
  /** Whether the server keeps each update, not only their average. */
  recorded: boolean;
  view: RoomView | null;
  /** When the running round's time is up. */
  deadlineAt: number | null;
  /** Every name seen, so that a record can name someone who has left. */
  names: Record<ClientId, string>;
  download: Of<'download'> | null;
  storage: Storage | null;
  texts: Of<'texts'> | null;
  ready: boolean;
  /** How many workers share this tab's work, and how many pieces the helpers have done. */
  workers: Of<'workers'>;
  progress: Progress | null;
  holding: Of<'holding'> | null;
  adopted: Of<'adopted'> | null;
  history: RoundRecord[];
  evaluations: Evaluated[];
  ledger: Ledger;
  trial: Trial | null;
  /** Faults after which the tab went on, newest first, one of a kind. */
  notices: Fault[];
  stopped: { fault: Fault | null } | null;
};

export const NOTICES_KEPT = 3;

export const emptyRoom: RoomState = {
  link: { state: 'idle' },
  me: null,
  resume: null,
  settings: null,
  model: null,
  recorded: false,
  view: null,
  deadlineAt: null,
  names: {},
  download: null,
  storage: null,
  texts: null,
  ready: false,
  workers: { ready: 1, helped: 0 },
  progress: null,
  holding: null,
  adopted: null,
  history: [],
  evaluations: [],
  ledger: emptyLedger,
  trial: null,
  notices: [],
  stopped: null,
};

/** The room after an event of the worker. */
export function reduce(room: RoomState, event: Event, now: number): RoomState {
  switch (event.type) {
    case 'connection':
      return { ...room, link: linkOf(event, now) };
    case 'welcomed':
      return {
        ...room,
        me: event.client,
        resume: event.resume,
        settings: event.settings,
        model: event.model,
        recorded: event.recorded,
        // What was seen live names more clients.
        history: merge(event.history, room.history, sameRound),
        evaluations: merge(room.evaluations, event.evaluations, sameEvaluation),
        stopped: null,
      };
    case 'download':
      return { ...room, download: { loaded: event.loaded, total: event.total } };
    case 'storage':
      return { ...room, storage: event };
    case 'texts':
      return { ...room, texts: event };
    case 'ready':
      return { ...room, ready: true };
    case 'workers':
      return { ...room, workers: { ready: event.ready, helped: event.helped } };
    case 'room':
      return see(room, event, now);
    case 'progress':
      return { ...room, progress: event };
    case 'holding':
      return { ...room, holding: event };
    case 'adopted':
      return { ...room, adopted: { round: event.round, hash: event.hash } };
    case 'round_ended':
      return { ...room, progress: null, history: merge(room.history, [event], sameRound) };
    case 'evaluated':
      return { ...room, evaluations: merge(room.evaluations, [event], sameEvaluation) };
    case 'traffic':
      return { ...room, ledger: record(room.ledger, event, now) };
    case 'classified': {
      const { round, probabilities } = event;
      return { ...room, trial: answered(room.trial, event.id, { round, probabilities }) };
    }
    case 'fault':
      return notice(room, event);
    case 'stopped':
      return {
        ...room,
        link: { state: 'idle' },
        progress: null,
        ready: false,
        me: null,
        stopped: { fault: event.fault ?? null },
      };
  }
}

/** What the HTTP interface tells about a room, without joining it. */
export type RoomInfo = {
  view: RoomView;
  settings: RoomSettings;
  model: ModelInfo;
  recorded: boolean;
  history: RoundRecord[];
  evaluations: Evaluated[];
};

/** The room as seen from outside. */
export function watch(room: RoomState, info: RoomInfo, now: number): RoomState {
  return see(
    {
      ...room,
      settings: info.settings,
      recorded: info.recorded,
      model: info.model,
      history: merge(room.history, info.history, sameRound),
      evaluations: merge(room.evaluations, info.evaluations, sameEvaluation),
    },
    info.view,
    now,
  );
}

/** The room with a fault noted; the tab goes on. */
export function notice(room: RoomState, fault: Fault): RoomState {
  const others = room.notices.filter(({ code }) => code !== fault.code);
  return { ...room, notices: [fault, ...others].slice(0, NOTICES_KEPT) };
}

function see(room: RoomState, view: RoomView, now: number): RoomState {
  const names = { ...room.names };
  for (const member of view.members) names[member.id] = member.name;
  const deadlineAt = view.phase.type === 'working' ? now + view.phase.deadline_ms : null;
  return { ...room, view, names, deadlineAt };
}

function linkOf(connection: Connection, now: number): Link {
  if (connection.state !== 'waiting') return { state: connection.state };
  return { state: 'waiting', retryAt: now + connection.retry_ms };
}

function sameRound(a: RoundRecord, b: RoundRecord): boolean {
  return a.round === b.round && a.attempt === b.attempt;
}

function sameEvaluation(a: Evaluated, b: Evaluated): boolean {
  return a.round === b.round;
}

/** Adds the new ones, replaces the same ones, keeps everything in the order of rounds. */
function merge<T extends { round: number; attempt?: number }>(
  old: T[],
  fresh: T[],
  same: (a: T, b: T) => boolean,
): T[] {
  if (fresh.length === 0) return old;
  const kept = old.filter((a) => !fresh.some((b) => same(a, b)));
  return [...kept, ...fresh].sort(
    (a, b) => a.round - b.round || (a.attempt ?? 0) - (b.attempt ?? 0),
  );
}
