// The open room: its state as signals, the worker that plays this tab's part in it, and a look at
// the room from outside for as long as this tab has not joined.

import { batch, computed, signal } from '@preact/signals';
import * as api from '../api';
import type { Command } from '../generated/Command';
import type { Event } from '../generated/Event';
import type { Fault } from '../generated/Fault';
import type { FaultCode } from '../generated/FaultCode';
import type { OwnTexts } from '../generated/OwnTexts';
import { localFault } from '../text/faults';
import { statusOf } from '../text/status';
import { coresFrom } from './cores';
import * as memory from './memory';
import { emptyRoom, notice, reduce, watch, type RoomState } from './room';
import { ask } from './trial';

const LOOK_EVERY_MS = 3_000;

export const code = signal('');
export const room = signal<RoomState>(emptyRoom);
export const paused = signal(false);
export const owner = signal<string | null>(null);
/** Why the room cannot even be looked at. */
export const missing = signal<Fault | null>(null);
export const now = signal(Date.now());
/** How many processor cores this tab may use. */
export const cores = signal(
  coresFrom(
    {
      address: new URLSearchParams(location.search).get('workers'),
      chosen: memory.keptCores(),
      embedded: document.getElementById('page')?.dataset['workers'] ?? null,
    },
    navigator.hardwareConcurrency,
  ),
);

export const joined = computed(() => room.value.link.state !== 'idle' && worker.value !== null);
export const status = computed(() =>
  statusOf(room.value, { owner: owner.value !== null, paused: paused.value }, now.value),
);

const worker = signal<Worker | null>(null);
let looking: ReturnType<typeof setTimeout> | undefined;
let ticking: ReturnType<typeof setInterval> | undefined;
let joinOnOpening = '';

/** The room's creator joins without being asked. */
export function joinWhenOpened(room: string): void {
  joinOnOpening = room;
}

/** Opens a room; a tab that had a place in it takes it back. */
export function open(opened: string): void {
  batch(() => {
    code.value = opened;
    room.value = emptyRoom;
    paused.value = false;
    missing.value = null;
    owner.value = memory.ownerToken(opened);
  });
  ticking = setInterval(() => {
    now.value = Date.now();
  }, 1000);
  const name = memory.keptName();
  const resume = memory.resumeToken(opened);
  if (resume !== null && name !== null) join(name, memory.keptTexts(opened));
  else void look();
}

/** Closes the room without giving up this tab's place in it. */
export function close(): void {
  clearInterval(ticking);
  clearTimeout(looking);
  dismiss();
  code.value = '';
  room.value = emptyRoom;
}

export function join(name: string, texts: OwnTexts | null): void {
  clearTimeout(looking);
  dismiss();
  memory.keepTexts(code.value, texts);
  const fresh = new Worker(new URL('../worker.ts', import.meta.url), { type: 'module' });
  fresh.onmessage = ({ data }: MessageEvent<Event>) => {
    if (worker.value === fresh) receive(data);
  };
  // Before its first word an error means that the worker did not load; later ones it reports itself.
  fresh.onerror = () => {
    if (worker.value === fresh && room.value.link.state === 'connecting') {
      receive({ type: 'stopped', fault: WORKER_FAULT });
    }
  };
  batch(() => {
    worker.value = fresh;
    paused.value = false;
    room.value = {
      ...room.value,
      link: { state: 'connecting' },
      stopped: null,
      notices: [],
      ready: false,
      download: null,
      workers: emptyRoom.workers,
    };
  });
  send({
    type: 'join',
    origin: location.origin,
    room: code.value,
    name,
    resume: memory.resumeToken(code.value),
    texts,
    workers: cores.value,
  });
}

/** Lets this tab use so many processor cores, now and on later visits. */
export function useCores(count: number): void {
  cores.value = count;
  memory.keepCores(count);
  send({ type: 'workers', count });
}

export function pause(): void {
  paused.value = true;
  send({ type: 'pause' });
}

export function resume(): void {
  paused.value = false;
  send({ type: 'resume' });
}

export function leave(): void {
  memory.keepTexts(code.value, null);
  send({ type: 'leave' });
}

/** Puts a sentence to the common model. */
export function classify(text: string): void {
  const trial = ask(room.value.trial, text);
  room.value = { ...room.value, trial };
  send({ type: 'classify', id: trial.id, text });
}

export async function act(action: api.OwnerAction): Promise<void> {
  if (owner.value !== null) await carryOut(api.act(code.value, action, owner.value));
}

export async function removeClient(client: number): Promise<void> {
  if (owner.value !== null) await carryOut(api.removeClient(code.value, client, owner.value));
}

/** Takes a notice away that the person has read. */
export function forget(fault: Fault): void {
  room.value = {
    ...room.value,
    notices: room.value.notices.filter(({ code }) => code !== fault.code),
  };
}

const PLACE_GONE = new Set<FaultCode>(['removed', 'unknown_room', 'room_finished']);

const WORKER_FAULT = localFault(
  'client',
  'The part of the page that trains could not be loaded.',
  'Reload the page; use a current Chrome, Edge, Firefox or Safari.',
);

function send(command: Command): void {
  worker.value?.postMessage(command);
}

function receive(event: Event): void {
  now.value = Date.now();
  room.value = reduce(room.value, event, now.value);
  switch (event.type) {
    case 'welcomed':
      memory.keepResumeToken(code.value, event.resume);
      break;
    case 'adopted':
      // The sentence that someone tried is put to each new model, to see the answer change.
      if (room.value.trial) classify(room.value.trial.text);
      break;
    case 'stopped':
      stopped(event.fault ?? null);
      break;
  }
}

function stopped(fault: Fault | null): void {
  // Where the tab left, or was removed, its place is gone; after any other end it may want it back.
  if (fault === null || PLACE_GONE.has(fault.code)) memory.keepResumeToken(code.value, null);
  // Texts that are no use must not come back by themselves.
  if (fault?.code === 'bad_settings') memory.keepTexts(code.value, null);
  dismiss();
  void look();
}

function dismiss(): void {
  worker.value?.terminate();
  worker.value = null;
}

/** Looks at the room from outside, again and again until this tab joins. */
async function look(): Promise<void> {
  clearTimeout(looking);
  const looked = code.value;
  const result = await api.inspectRoom(looked);
  if (code.value !== looked || looked === '' || worker.value !== null) return;
  now.value = Date.now();
  if (result.ok) {
    room.value = { ...watch(room.value, result.value, now.value), link: { state: 'idle' } };
    if (joinOnOpening === looked && result.value.settings.texts.from !== 'own') {
      joinOnOpening = '';
      join(memory.keptName() ?? 'Owner', null);
      return;
    }
  } else if (result.fault.code === 'unknown_room') {
    missing.value = result.fault;
    return;
  } else {
    const retryAt = now.value + LOOK_EVERY_MS;
    room.value = { ...room.value, link: { state: 'waiting', retryAt } };
  }
  looking = setTimeout(() => void look(), LOOK_EVERY_MS);
}

async function carryOut(wish: Promise<api.Result<unknown>>): Promise<void> {
  const result = await wish;
  if (!result.ok) room.value = notice(room.value, result.fault);
  else if (worker.value === null) await look();
}
