// The make-believe worker: plays a session of three tabs from the chosen scene on.

import type { Command } from '../generated/Command';
import type { Event } from '../generated/Event';
import type { FaultCode } from '../generated/FaultCode';
import type { MemberView } from '../generated/MemberView';
import type { PhaseView } from '../generated/PhaseView';
import { CODE, evaluation, faultOf, hashOf, member, model, recordOf, scene, settings } from './world';

const STEPS = 14;
const START: Record<string, number> = { training: 3, five: 5, finished: 10 };
const UPDATE = 131_872;

export class MockWorker {
  onmessage: ((message: { data: Event }) => void) | null = null;
  onerror: (() => void) | null = null;
  #alive = true;
  #paused = false;
  #completed = START[scene] ?? 0;

  postMessage(command: Command): void {
    if (command.type === 'join') void this.#play();
    if (command.type === 'pause') this.#paused = true;
    if (command.type === 'resume') this.#paused = false;
    if (command.type === 'leave') this.#emit({ type: 'stopped', fault: null });
    if (command.type === 'classify') void this.#classify(command.id, command.text);
  }

  terminate(): void {
    this.#alive = false;
  }

  #emit(event: Event): void {
    if (this.#alive) this.onmessage?.({ data: event });
  }

  async #classify(id: number, text: string): Promise<void> {
    await wait(80);
    const lean = /not|bad|dull|never/i.test(text) ? -1 : 1;
    const positive = 0.5 + lean * Math.min(0.46, 0.03 + this.#completed * 0.07);
    this.#emit({ type: 'classified', id, round: this.#completed, probabilities: [1 - positive, positive] });
  }

  async #play(): Promise<void> {
    this.#emit({ type: 'connection', state: 'connecting' });
    await wait(50);
    const stop = /^stop-(.+)$/.exec(scene)?.[1];
    if (stop) return this.#emit({ type: 'stopped', fault: faultOf(stop as FaultCode) });
    this.#emit({ type: 'connection', state: 'connected' });
    this.#traffic('up', 'hello', 92);
    this.#traffic('down', 'welcome', 2_911);
    const past = Array.from({ length: this.#completed + 1 }, (_, round) => round);
    this.#emit({
      type: 'welcomed',
      protocol: 3,
      room: CODE,
      client: 1,
      resume: 'token',
      shard: 0,
      settings,
      model,
      recorded: scene === 'recorded',
      history: past.slice(1).map(recordOf),
      evaluations: past.map(evaluation),
    });
    this.#room({ type: 'waiting' }, [member(1, 'loading')]);
    await this.#load();
    this.#emit({ type: 'ready' });
    this.#emit({ type: 'adopted', round: this.#completed, hash: hashOf(this.#completed) });
    for (const _ of past.slice(1)) this.#roundTraffic();
    if (this.#completed > 0) this.#holding();
    await this.#afterLoading();
  }

  async #load(): Promise<void> {
    const total = 11_233_810;
    const slow = scene === 'loading';
    for (let part = 1; part <= 10; part += 1) {
      this.#emit({ type: 'download', loaded: (total * part) / 10, total });
      await wait(slow ? 4_000 : 25);
    }
    this.#emit({ type: 'storage', kept: 'cache' });
    if (scene === 'memory') this.#emit({ type: 'storage', kept: 'memory', reason: 'the browser refused 11 MB of storage.' });
    this.#emit({ type: 'texts', gold_by_label: [4, 4], unlabelled: 40, skipped: [] });
  }

  async #afterLoading(): Promise<void> {
    const fault = /^fault-(.+)$/.exec(scene)?.[1];
    if (fault) this.#emit({ type: 'fault', ...faultOf(fault as FaultCode) });
    if (scene === 'lost') return this.#emit({ type: 'connection', state: 'waiting', retry_ms: 8_000 });
    if (scene === 'finished') return this.#room({ type: 'finished' }, three('ready', 0));
    if (scene === 'five') return this.#room({ type: 'paused' }, three('ready', 0));
    this.#room({ type: 'waiting' }, [member(1, 'ready')]);
    await wait(scene === 'training' ? 100 : 9_000);
    this.#room({ type: 'waiting' }, [member(1, 'ready'), member(2, 'loading')]);
    await wait(scene === 'training' ? 100 : 2_000);
    while (this.#alive && this.#completed < settings.round.rounds) await this.#round();
    this.#room({ type: 'finished' }, three('ready', 0));
  }

  async #round(): Promise<void> {
    const round = this.#completed + 1;
    this.#holding();
    for (let step = 0; step <= STEPS; step += 1) {
      while (this.#paused && this.#alive) await wait(100);
      const reported = step > STEPS * 0.7 ? 1 : 0;
      const phase: PhaseView = { type: 'working', round, attempt: 1, selected: 3, reported, deadline_ms: 180_000 - step * 700 };
      const others = [member(2, reported ? 'reported' : 'training', Math.min(1, step / 10)), member(3, 'labelling', step / 20)];
      this.#room(phase, [member(1, 'training', step / STEPS), ...others]);
      this.#emit({ type: 'progress', round, stage: 'training', done: step, total: STEPS, loss: 0.5 });
      await wait(700);
    }
    this.#roundTraffic();
    this.#completed = round;
    this.#emit({ type: 'round_ended', ...recordOf(round) });
    this.#emit({ type: 'adopted', round, hash: hashOf(round) });
    this.#emit({ type: 'evaluated', ...evaluation(round) });
  }

  #holding(): void {
    const soft = Math.min(40, this.#completed * 10);
    this.#emit({ type: 'holding', gold: 8, soft, remaining: 40 - soft, confidence: 0.81 });
  }

  #roundTraffic(): void {
    this.#traffic('down', 'work', 184);
    for (let n = 0; n < 6; n += 1) this.#traffic('up', 'progress', 88);
    this.#traffic('up', 'report', UPDATE);
    this.#traffic('down', 'receipt', 41);
    this.#traffic('down', 'round_ended', 402);
    this.#traffic('down', 'global', UPDATE - 60);
    this.#traffic('down', 'evaluated', 190);
  }

  #traffic(direction: 'up' | 'down', what: string, bytes: number): void {
    this.#emit({ type: 'traffic', direction, what, bytes });
  }

  #room(phase: PhaseView, members: MemberView[]): void {
    const ready = members.filter(({ state }) => state !== 'loading').length;
    this.#emit({ type: 'room', code: CODE, completed: this.#completed, phase, connected: members.length, ready, needed: 2, members });
  }
}

function three(state: MemberView['state'], progress: number): MemberView[] {
  return [1, 2, 3].map((id) => member(id, state, progress));
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
