// The make-believe room: settings, members, rounds and figures that look like the real ones.

import { defaults } from '../generated/defaults';
import type { Evaluated } from '../generated/Evaluated';
import type { Fault } from '../generated/Fault';
import type { FaultCode } from '../generated/FaultCode';
import type { MemberState } from '../generated/MemberState';
import type { MemberView } from '../generated/MemberView';
import type { ModelInfo } from '../generated/ModelInfo';
import type { RoomSettings } from '../generated/RoomSettings';
import type { RoundRecord } from '../generated/RoundRecord';

export const CODE = 'K7QX';

export const scene = new URLSearchParams(location.search).get('scene') ?? 'waiting';

export const settings: RoomSettings = {
  ...defaults,
  title: 'Reviews, class 10b',
  texts: scene === 'own' ? { from: 'own' } : defaults.texts,
};

const { task } = settings;

export const model: ModelInfo = {
  name: 'default',
  parameters: 5_410_560,
  files: [
    { name: 'config.json', bytes: 690, sha256: '00' },
    { name: 'tokenizer.json', bytes: 412_000, sha256: '00' },
    { name: 'model.safetensors', bytes: 10_821_120, sha256: '00' },
  ],
};

/** One that the operator has added. */
const added: ModelInfo = {
  name: 'distilbert',
  parameters: 66_985_530,
  files: [
    { name: 'config.json', bytes: 483, sha256: '00' },
    { name: 'tokenizer.json', bytes: 466_000, sha256: '00' },
    { name: 'model.safetensors', bytes: 267_954_768, sha256: '00' },
  ],
};

export const models = [model, added];

export const corpora = [
  { name: 'reviews', title: 'Short reviews', task, train: 900, test: 300 },
  { name: 'news', title: 'News topics', task, train: 400, test: 160 },
];

const ACCURACY = [0.523, 0.617, 0.69, 0.743, 0.727, 0.79, 0.813, 0.83, 0.827, 0.847, 0.853];

export function evaluation(round: number): Evaluated {
  const accuracy = ACCURACY[round] ?? 0.85;
  return {
    round,
    hash: hashOf(round),
    count: 300,
    accuracy,
    macro_f1: accuracy - 0.012,
    loss: 1.1 - accuracy,
  };
}

export function hashOf(round: number): string {
  return `${round}`.padStart(2, '0').repeat(32);
}

export function recordOf(round: number): RoundRecord {
  const out: RoundRecord['excluded'] =
    round === 2 ? [{ client: 3, reason: 'it had not reported at the deadline' }] : [];
  return {
    round,
    attempt: 1,
    outcome: { type: 'completed', hash: hashOf(round) },
    selected: 3,
    reported: round === 2 ? 2 : 3,
    participants: round === 2 ? [1, 2] : [1, 2, 3],
    excluded: out,
    gold: 24,
    soft: Math.min(120, (round - 1) * 30),
    loss: 0.72 - 0.05 * round,
    duration_ms: 8_400 + 900 * round,
    bytes_up: 3 * 131_900,
  };
}

const NAMES = ['Amber Otter', 'Swift Heron', '<b>Zoë & “the 10b”</b>', 'Quiet Lynx'];

export function member(id: number, state: MemberState, progress = 0): MemberView {
  return {
    id,
    name: NAMES[id - 1] ?? `Tab ${id}`,
    state,
    gold: state === 'loading' ? 0 : 8,
    unlabelled: state === 'loading' ? 0 : 40,
    progress,
    loss: null,
    contributed: 0,
  };
}

export function faultOf(code: FaultCode): Fault {
  const words: Partial<Record<FaultCode, [string, string]>> = {
    unknown_room: ['No room has the code Z9Z9.', 'Check the code with the person who opened it.'],
    room_full: ['The room takes 64 tabs, and 64 are in it.', 'Ask its owner for a larger room.'],
    replaced: ['The same place was taken by a newer connection.', 'Go on there, or take it back.'],
    stale_round: ['The update is for round 3, and round 4 is running.', 'Nothing to do: this tab goes on with the newest model.'],
  };
  const [message, mend] = words[code] ?? [`This is a fault of kind ${code}.`, 'Try again.'];
  const blame = ['room_full', 'stale_round', 'replaced', 'room_finished', 'removed'].includes(code)
    ? 'nobody'
    : 'client';
  return { code, blame, message, mend };
}
