// Figures that follow from a room's state.

import type { MemberView } from '../generated/MemberView';
import { updateBytes } from './ledger';
import type { RoomState } from './room';

/** Bytes of one parameter of the full model, in the f32 that updates travel in too. */
const PARAMETER_BYTES = 4;

/** This tab among the members. */
export function myself(room: RoomState): MemberView | null {
  return room.view?.members.find(({ id }) => id === room.me) ?? null;
}

/** Bytes that each tab would send per round if the whole model travelled. */
export function fullModelBytes(room: RoomState): number | null {
  return room.model && room.model.parameters > 0 ? room.model.parameters * PARAMETER_BYTES : null;
}

/** How many times larger the full model is than this tab's update. */
export function timesMore(room: RoomState): number | null {
  const update = updateBytes(room.ledger);
  const full = fullModelBytes(room);
  return update && full ? full / update : null;
}

/** Accuracy before any training, and now. */
export function accuracies(room: RoomState): { first: number | null; newest: number | null } {
  const first = room.evaluations.find(({ round }) => round === 0);
  const newest = room.evaluations.at(-1);
  return { first: first?.accuracy ?? null, newest: newest?.accuracy ?? null };
}

/** Bytes of all the files that a tab downloads. */
export function downloadBytes(room: RoomState): number {
  return (room.model?.files ?? []).reduce((sum, file) => sum + file.bytes, 0);
}

/** Whether closing this tab now would throw away work. */
export function working(room: RoomState): boolean {
  const state = myself(room)?.state;
  return room.progress !== null && (state === 'training' || state === 'labelling');
}
