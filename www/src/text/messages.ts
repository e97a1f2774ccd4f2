// What each message of the protocol is, for someone who looks at the byte ledger.

import type { Direction } from '../generated/Direction';

const WORDS: Record<string, string> = {
  hello: 'your name and the room’s code',
  ready: 'how many texts this tab holds',
  progress: 'how far this tab is',
  declined: 'why this tab could not work',
  leave: 'goodbye',
  report: 'the update: only the trained matrices',
  welcome: 'the room’s settings and past rounds',
  refused: 'why this tab was turned away',
  fault: 'what went wrong',
  room: 'who is here and how far the round is',
  work: 'the order to work on a round',
  cancel: 'the work is no longer wanted',
  receipt: 'whether the update counts',
  round_ended: 'the result of a round',
  evaluated: 'the accuracy of the common model',
  global: 'the new common model: only the trained matrices',
  heartbeat: 'a sign of life',
};

/** What a message holds, in a few words; empty for one that is not known. */
export function messageWords(what: string): string {
  return WORDS[what] ?? '';
}

export function directionWord(direction: Direction): string {
  return direction === 'up' ? 'sent' : 'received';
}
