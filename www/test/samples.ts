// A small room to test with.

import { defaults } from '../src/generated/defaults';
import type { MemberView } from '../src/generated/MemberView';
import type { RoomSettings } from '../src/generated/RoomSettings';
import type { RoomView } from '../src/generated/RoomView';
import type { Welcome } from '../src/generated/Welcome';

export const settings: RoomSettings = defaults;

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
