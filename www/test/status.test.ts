import { describe, expect, it } from 'vitest';
import type { Event } from '../src/generated/Event';
import type { Fault } from '../src/generated/Fault';
import type { PhaseView } from '../src/generated/PhaseView';
import { emptyRoom, reduce, type RoomState } from '../src/state/room';
import { statusOf } from '../src/text/status';
import { member, view, welcome } from './samples';

const everyone = { owner: false, paused: false };

function after(...events: Event[]): RoomState {
  return events.reduce((room, event) => reduce(room, event, 0), emptyRoom);
}

const inRoom: Event[] = [
  { type: 'connection', state: 'connected' },
  { type: 'welcomed', ...welcome },
  { type: 'ready' },
];

const working: PhaseView = {
  type: 'working',
  round: 3,
  attempt: 1,
  selected: 3,
  reported: 2,
  deadline_ms: 45_000,
};

describe('status', () => {
  it('says how many more tabs are needed', () => {
    const room = after(...inRoom, { type: 'room', ...view({ needed: 2, ready: 1 }) });
    expect(statusOf(room, everyone, 0).headline).toBe('Waiting for 1 more tab.');
    const three = after(...inRoom, { type: 'room', ...view({ needed: 4, ready: 1 }) });
    expect(statusOf(three, everyone, 0).headline).toBe('Waiting for 3 more tabs.');
  });

  it('tells loading tabs from missing ones', () => {
    const room = after(...inRoom, { type: 'room', ...view({ needed: 2, ready: 1, connected: 2 }) });
    expect(statusOf(room, everyone, 0).headline).toBe('Waiting for 1 tab to get ready.');
  });

  it('names the step of this tab', () => {
    const room = after(
      ...inRoom,
      { type: 'room', ...view({ phase: working, members: [member(1, 'a', { state: 'training' })] }) },
      { type: 'progress', round: 3, stage: 'training', done: 4, total: 14, loss: null },
    );
    const { headline, detail } = statusOf(room, everyone, 0);
    expect(headline).toBe('Round 3 of 10: your tab is training.');
    expect(detail).toBe('Step 4 of 14; 2 of 3 tabs have reported, 45 s left at most.');
  });

  it('counts the reports once this tab has sent its own', () => {
    const members = [member(1, 'a', { state: 'reported' })];
    const room = after(...inRoom, { type: 'room', ...view({ phase: working, members }) });
    const { headline, detail } = statusOf(room, everyone, 30_000);
    expect(headline).toBe('Round 3 of 10: your tab has reported.');
    expect(detail).toBe('2 of 3 tabs have reported, 15 s left at most.');
  });

  it('ignores progress on another round than the running one', () => {
    const room = after(
      ...inRoom,
      { type: 'room', ...view({ phase: working, members: [member(1, 'a')] }) },
      { type: 'progress', round: 2, stage: 'training', done: 14, total: 14, loss: null },
    );
    expect(statusOf(room, everyone, 0).headline).toContain('under way without your tab');
  });

  it('counts down to the next try after a lost connection', () => {
    const lost: Event = { type: 'connection', state: 'waiting', retry_ms: 8000 };
    const status = statusOf(after(...inRoom, lost), everyone, 3500);
    expect(status).toMatchObject({ tone: 'trouble', headline: 'The server cannot be reached.' });
    expect(status.detail).toContain('in 5 s');
  });

  it('shows the share of the download', () => {
    const [connected, welcomed] = inRoom as [Event, Event];
    const room = after(connected, welcomed, { type: 'download', loaded: 25, total: 100 });
    expect(statusOf(room, everyone, 0).detail).toMatch(/^25 %/);
  });

  it('tells the owner what to press and the others whom to wait for', () => {
    const room = after(...inRoom, { type: 'room', ...view({ phase: { type: 'paused' } }) });
    expect(statusOf(room, { owner: true, paused: false }, 0).headline).toContain('Press Start');
    expect(statusOf(room, everyone, 0).headline).toContain('The owner');
  });

  it('names the fault that stopped the tab, and a leaving in peace', () => {
    const fault: Fault = { code: 'removed', blame: 'nobody', message: 'm', mend: 'n' };
    const removed = statusOf(after(...inRoom, { type: 'stopped', fault }), everyone, 0);
    expect(removed.headline).toContain('removed this tab');
    const left = statusOf(after(...inRoom, { type: 'stopped', fault: null }), everyone, 0);
    expect(left.headline).toBe('You left the room.');
  });

  it('says what was gained when the rounds are done', () => {
    const measured = (round: number, accuracy: number): Event => {
      return { type: 'evaluated', round, hash: 'h', count: 9, accuracy, macro_f1: 0, loss: 0 };
    };
    const done = view({ phase: { type: 'finished' }, completed: 10 });
    const room = after(...inRoom, measured(0, 0.52), measured(10, 0.84), { type: 'room', ...done });
    const { headline, detail } = statusOf(room, everyone, 0);
    expect(headline).toBe('Done after 10 rounds.');
    expect(detail).toBe('Accuracy went from 52 % to 84 %.');
  });
});
