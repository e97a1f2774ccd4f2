// Every kind of fault in a few plain words, and what the page offers to do about it.

import type { Fault } from '../generated/Fault';
import type { FaultCode } from '../generated/FaultCode';
import { decimal } from './format';

/** Kinds too wide for a title: their messages say it better. */
type Wide = 'internal' | 'bad_settings' | 'malformed';

const TITLES: Record<Exclude<FaultCode, Wide>, string> = {
  unknown_room: 'There is no room with this code.',
  room_full: 'This room is full.',
  room_finished: 'This room has finished its rounds.',
  protocol_version: 'This page and the server are of different versions.',
  oversized: 'A message was larger than the room allows.',
  non_finite: 'The update of this tab held a value that is not a number.',
  misshapen: 'The update of this tab has another shape than the room’s model.',
  wrong_base: 'The update of this tab started from another model than the round’s.',
  stale_round: 'The update of this tab came after its round had ended.',
  duplicate_report: 'This tab had already sent its update for this round.',
  not_selected: 'This tab was not part of the round that it sent an update for.',
  example_count: 'The update of this tab names more texts than the tab holds.',
  replaced: 'Your place is in use in another tab.',
  removed: 'The owner of the room removed this tab.',
  unknown_client: 'Nobody with this number is in the room.',
  too_few_clients: 'Too few tabs are ready.',
  overloaded: 'The connection of this tab was too slow.',
  rate_limited: 'Too much was tried at once.',
  password_needed: 'This server asks for a password.',
  not_owner: 'Only the owner of the room can do this.',
};

/** The fault in one short sentence: its own where no other says it in plainer words. */
export function faultTitle(fault: Fault): string {
  const titles: Partial<Record<FaultCode, string>> = TITLES;
  return titles[fault.code] ?? fault.message;
}

/** What a stopped tab can do next. */
export type Offer = 'home' | 'retry' | 'take_over' | 'reload' | 'join_again' | 'none';

/** The offer that fits the fault that stopped a tab. */
export function offerFor(fault: Fault): Offer {
  switch (fault.code) {
    case 'unknown_room':
      return 'home';
    case 'room_full':
      return 'retry';
    case 'room_finished':
      return 'none';
    case 'protocol_version':
      return 'reload';
    case 'replaced':
      return 'take_over';
    default:
      return 'join_again';
  }
}

/** A fault of the page itself, in the shape of the wire's faults. */
export function localFault(blame: Fault['blame'], message: string, mend: string): Fault {
  return { code: 'internal', blame, message, mend };
}

/** What the server said about one field of the settings. */
export type FieldFault = { field: string; words: string };

/** Reads the field out of a refused setting's message; null where it names none. */
export function fieldFault(fault: Fault): FieldFault | null {
  if (fault.code !== 'bad_settings') return null;
  const found = /^setting (\S+): expected (.+), got (.*)\.$/s.exec(fault.message);
  if (!found) return null;
  const [, field = '', expected = '', got = ''] = found;
  const range = /^(\S+) to (\S+)$/.exec(expected);
  const wanted = range ? `between ${range[1]} and ${range[2]}` : expected;
  const words = `This must be ${wanted}, not ${got === '' ? 'empty' : got}.`;
  return { field, words: SHARES.includes(field) ? inPercent(words) : words };
}

/** Settings that the form shows in percent. */
const SHARES = ['soft_labels.growth.per_round', 'lora.dropout', 'aggregation.rule.share', 'compression.share'];

/** "from 0 to below 0.5" → "from 0 to below 50 %"; 0 needs no unit. */
function inPercent(words: string): string {
  return words.replace(/\d+(\.\d+)?/g, (share) => (share === '0' ? share : `${decimal(Number(share) * 100)} %`));
}
