// The one line that says what is going on, in plain words.

import type { Progress } from '../generated/Progress';
import type { RoomView } from '../generated/RoomView';
import { accuracies, myself } from '../state/facts';
import type { RoomState } from '../state/room';
import { faultTitle } from './faults';
import { percent, plural, secondsUntil } from './format';

export type Tone = 'calm' | 'busy' | 'trouble' | 'done';

export type Status = {
  /** Changes seldom, so that a screen reader can read each change. */
  headline: string;
  /** Counters and clocks. */
  detail: string;
  tone: Tone;
};

export type Who = { owner: boolean; paused: boolean };

/** The status of the room for this tab. */
export function statusOf(room: RoomState, who: Who, now: number): Status {
  return troubleOf(room, now) ?? preparationOf(room) ?? phaseOf(room, who, now);
}

function troubleOf(room: RoomState, now: number): Status | null {
  const { stopped, link } = room;
  if (stopped?.fault) {
    const tone = stopped.fault.blame === 'nobody' ? 'calm' : 'trouble';
    return say(tone, faultTitle(stopped.fault));
  }
  if (stopped && room.view?.phase.type !== 'finished') {
    return say('calm', 'You left the room.', 'You can join again at any time.');
  }
  if (link.state === 'waiting') {
    const seconds = secondsUntil(link.retryAt, now);
    const retry = seconds > 0 ? `Trying again in ${seconds} s.` : 'Trying again now.';
    return say('trouble', 'The server cannot be reached.', `${retry} Nothing is lost.`);
  }
  if (link.state === 'connecting') return say('busy', 'Connecting…');
  return null;
}

function preparationOf(room: RoomState): Status | null {
  if (room.link.state !== 'connected' || room.ready) return null;
  const { download } = room;
  if (download && download.total > 0 && download.loaded < download.total) {
    const share = percent(download.loaded / download.total);
    return say('busy', 'Fetching the model.', `${share} is here. It is kept for your next visit.`);
  }
  return say('busy', 'Preparing the model and the texts…');
}

function phaseOf(room: RoomState, who: Who, now: number): Status {
  const { view } = room;
  if (!view) return say('busy', 'Looking for the room…');
  if (view.phase.type === 'finished') return finished(room, view);
  if (who.paused) {
    return say('calm', 'Your tab is paused.', 'The others go on. Press Resume to take part again.');
  }
  if (view.phase.type === 'paused') return beforeStart(view, who);
  if (view.phase.type === 'waiting') return waiting(view);
  return roundUnderWay(room, view, view.phase, now);
}

function finished(room: RoomState, view: RoomView): Status {
  const { first, newest } = accuracies(room);
  const detail =
    first !== null && newest !== null && view.completed > 0
      ? `Accuracy went from ${percent(first)} to ${percent(newest)}.`
      : '';
  return say('done', `Done after ${plural(view.completed, 'round')}.`, detail);
}

function beforeStart(view: RoomView, who: Who): Status {
  const here = `${plural(view.ready, 'tab is', 'tabs are')} ready.`;
  if (view.completed > 0) {
    const detail = who.owner ? 'Press Resume to go on.' : 'The owner of the room will go on.';
    return say('calm', `Paused after round ${view.completed}.`, detail);
  }
  const headline = who.owner
    ? 'Press Start when everyone is here.'
    : 'The owner of the room starts the first round.';
  return say('calm', headline, here);
}

function waiting(view: RoomView): Status {
  const missing = Math.max(0, view.needed - view.ready);
  const detail = `${view.ready} of ${view.needed} ready.`;
  if (missing === 0) return say('busy', 'The next round is about to start.', detail);
  const loading = Math.max(0, view.connected - view.ready);
  const headline =
    loading >= missing
      ? `Waiting for ${plural(missing, 'tab')} to get ready.`
      : `Waiting for ${plural(missing - loading, 'more tab', 'more tabs')}.`;
  return say('calm', headline, detail);
}

type Working = Extract<RoomView['phase'], { type: 'working' }>;

function roundUnderWay(room: RoomState, view: RoomView, phase: Working, now: number): Status {
  const rounds = room.settings?.round.rounds;
  const title = rounds ? `Round ${phase.round} of ${rounds}` : `Round ${phase.round}`;
  const reported = `${phase.reported} of ${phase.selected} tabs have reported`;
  const left =
    room.deadlineAt === null ? '' : `, ${timeLeft(secondsUntil(room.deadlineAt, now))} left at most`;
  const progress = room.progress?.round === phase.round ? room.progress : null;
  const mine = myself(room)?.state;
  if (progress && mine !== 'reported') {
    return say(
      'busy',
      `${title}: your tab ${progress.stage === 'training' ? 'is training' : 'labels its texts'}.`,
      `${stepOf(progress)}; ${reported}${left}.`,
    );
  }
  if (room.me !== null && mine === 'ready') {
    return say(
      'busy',
      `${title} is under way without your tab.`,
      `It takes part in a later round; ${reported}${left}.`,
    );
  }
  const headline = mine === 'reported' ? `${title}: your tab has reported.` : `${title}.`;
  const retry = view.phase.type === 'working' && phase.attempt > 1 ? ` This is try ${phase.attempt}.` : '';
  return say('busy', headline, `${reported}${left}.${retry}`);
}

function timeLeft(seconds: number): string {
  return seconds > 90 ? `${Math.ceil(seconds / 60)} min` : `${seconds} s`;
}

function stepOf({ stage, done, total }: Progress): string {
  return stage === 'training' ? `Step ${done} of ${total}` : `${done} of ${total} looked at`;
}

function say(tone: Tone, headline: string, detail = ''): Status {
  return { tone, headline, detail };
}
