// What a member does, in a word or two.

import type { MemberState } from '../generated/MemberState';

const WORDS: Record<MemberState, string> = {
  loading: 'loading',
  ready: 'ready',
  labelling: 'labelling texts',
  training: 'training',
  reported: 'reported',
  away: 'away',
};

export function memberWord(state: MemberState): string {
  return WORDS[state];
}
