// A small room to test with.

import type { MemberView } from '../src/generated/MemberView';
import type { RoomSettings } from '../src/generated/RoomSettings';
import type { RoomView } from '../src/generated/RoomView';
import type { Welcome } from '../src/generated/Welcome';

export const settings: RoomSettings = {
  title: 'Reviews',
  model: 'default',
  task: {
    name: 'Reviews',
    patterns: ['{text} it was {mask} .'],
    labels: [
      { name: 'negative', aliases: [], words: ['terrible'] },
      { name: 'positive', aliases: [], words: ['great', 'good'] },
    ],
    text_columns: ['text'],
    label_column: 'label',
    max_tokens: 96,
    truncate: 'end',
    calibration: 'none',
  },
  texts: {
    from: 'corpus',
    corpus: 'reviews',
    deal: {
      gold: 8,
      unlabelled: 40,
      clients: 0,
      partition: { by: 'iid' },
      sizes: { by: 'equal' },
      gold_placement: { by: 'balanced' },
    },
  },
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

export const welcome: Welcome = {
  protocol: 3,
  room: 'ROOM',
  client: 1,
  resume: 'token',
  shard: 0,
  settings,
  model: { name: 'default', parameters: 1000, files: [] },
  recorded: false,
  history: [],
  evaluations: [],
};

export function member(id: number, name: string, part: Partial<MemberView> = {}): MemberView {
  const rest = { gold: 8, unlabelled: 40, progress: 0, loss: null, contributed: 0 };
  return { id, name, state: 'ready', ...rest, ...part };
}

export function view(part: Partial<RoomView>): RoomView {
  return {
    code: 'ROOM',
    completed: 0,
    phase: { type: 'waiting' },
    connected: 1,
    ready: 1,
    needed: 2,
    members: [],
    ...part,
  };
}
