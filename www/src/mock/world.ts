// The make-believe room: settings, members, rounds and figures that look like the real ones.

import type { Deal } from '../generated/Deal';
import type { Evaluated } from '../generated/Evaluated';
import type { Fault } from '../generated/Fault';
import type { FaultCode } from '../generated/FaultCode';
import type { MemberState } from '../generated/MemberState';
import type { MemberView } from '../generated/MemberView';
import type { ModelInfo } from '../generated/ModelInfo';
import type { RoomSettings } from '../generated/RoomSettings';
import type { RoundRecord } from '../generated/RoundRecord';
import type { Task } from '../generated/Task';

export const CODE = 'K7QX';

export const scene = new URLSearchParams(location.search).get('scene') ?? 'waiting';

const task: Task = {
  name: 'Reviews',
  patterns: ['{text} it was {mask} .'],
  labels: [
    { name: 'negative', aliases: [], words: ['terrible'] },
    { name: 'positive', aliases: [], words: ['great'] },
  ],
  text_columns: ['text'],
  label_column: 'label',
  max_tokens: 96,
  truncate: 'end',
  calibration: 'none',
};

const deal: Deal = {
  gold: 8,
  unlabelled: 40,
  clients: 0,
  partition: { by: 'iid' },
  sizes: { by: 'equal' },
  gold_placement: { by: 'balanced' },
};

export const settings: RoomSettings = {
  title: 'Reviews, class 10b',
  model: 'default',
  task,
  texts: scene === 'own' ? { from: 'own' } : { from: 'corpus', corpus: 'reviews', deal },
  lora: { rank: 8, alpha: 16, scaling: 'standard', dropout: 0, targets: ['query', 'value'] },
  training: {
    learning_rate: 0.0010000000474974513,
    epochs: 2,
    batch_size: 8,
    weight_decay: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    warmup: 0.1,
    decay: 'linear',
    clip_norm: 1,
    proximal: 0,
  },
  soft_labels: {
    growth: { by: 'fraction', per_round: 0.1 },
    selection: { by: 'class_balanced' },
    kind: 'soft',
    relabel: 'each_round',
    temperature: 1,
    weight: 0.5,
    noise: 0,
  },
  weighting: 'gold_and_soft',
  aggregation: {
    rule: { by: 'fedavg' },
    server_optimizer: { by: 'none' },
    measure_error: 'off',
    memory_mib: 512,
  },
  compression: { by: 'f32' },
  round: {
    start: 'automatic',
    quorum: { count: 2 },
    minimum: 1,
    sample: 0,
    goal: 0,
    deadline_seconds: 180,
    grace_seconds: 15,
    rounds: 10,
    capacity: 64,
  },
  seed: 0,
};

export const model: ModelInfo = {
  name: 'default',
  parameters: 5_410_560,
  files: [
    { name: 'config.json', bytes: 690, sha256: '00' },
    { name: 'tokenizer.json', bytes: 412_000, sha256: '00' },
    { name: 'model.safetensors', bytes: 10_821_120, sha256: '00' },
  ],
};

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
