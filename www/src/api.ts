// The server's HTTP interface. Nothing here throws: every answer is a value or a fault.

import type { Fault } from './generated/Fault';
import type { ModelInfo } from './generated/ModelInfo';
import type { RoomSettings } from './generated/RoomSettings';
import type { Task } from './generated/Task';
import type { RoomInfo } from './state/room';
import { localFault } from './text/faults';

export type Result<T> = { ok: true; value: T } | { ok: false; fault: Fault; reached: boolean };

/** A corpus that the server deals out. */
export type Corpus = { name: string; title: string; task: Task; train: number; test: number };

export type Defaults = { settings: RoomSettings; models: ModelInfo[]; corpora: Corpus[] };

export type Created = { code: string; owner_token: string };

/** What the owner of a room can do. */
export type OwnerAction = 'start' | 'pause' | 'next' | 'finish';

const PATIENCE_MS = 10_000;

export function defaults(): Promise<Result<Defaults>> {
  return request('/api/defaults');
}

/** `password` is what the server asks of those who open rooms, where it does. */
export function createRoom(settings: RoomSettings, password: string | null): Promise<Result<Created>> {
  return request('/api/rooms', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(password === null ? {} : bearer(sendable(password))) },
    body: JSON.stringify(settings),
  });
}

export function inspectRoom(code: string): Promise<Result<RoomInfo>> {
  return request(roomPath(code));
}

export function act(code: string, action: OwnerAction, token: string): Promise<Result<unknown>> {
  return request(`${roomPath(code)}/${action}`, { method: 'POST', headers: bearer(token) });
}

export function removeClient(code: string, client: number, token: string): Promise<Result<unknown>> {
  return request(`${roomPath(code)}/clients/${client}`, {
    method: 'DELETE',
    headers: bearer(token),
  });
}

/** Where a file of the room's newest adapter lies. */
export function adapterUrl(code: string, file: string): string {
  return `${roomPath(code)}/adapter/${file}`;
}

function roomPath(code: string): string {
  return `/api/rooms/${encodeURIComponent(code)}`;
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

/** Without what no password has, such as a pasted line's end: no header can carry it. */
function sendable(password: string): string {
  return password.replace(/[^!-~]/g, '');
}

async function request<T>(path: string, init: RequestInit = {}): Promise<Result<T>> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    const fault = localFault(
      'server',
      'The server does not answer.',
      'Check that it runs and that this device is in its network.',
    );
    return { ok: false, fault, reached: false };
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return { ok: true, value: body as T };
  if (isFault(body)) return { ok: false, fault: body, reached: true };
  const fault = localFault(
    'server',
    `The server answered with status ${response.status} and no explanation.`,
    'Try again in a moment.',
  );
  return { ok: false, fault, reached: response.status < 500 };
}

function isFault(body: unknown): body is Fault {
  if (typeof body !== 'object' || body === null) return false;
  const { code, message, mend } = body as Record<string, unknown>;
  return typeof code === 'string' && typeof message === 'string' && typeof mend === 'string';
}
