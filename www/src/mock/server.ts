// The make-believe HTTP interface.

import type { Fault } from '../generated/Fault';
import type { RoomSettings } from '../generated/RoomSettings';
import { CODE, corpora, evaluation, faultOf, member, model, models, recordOf, scene, settings } from './world';

export async function answer(path: string, init: RequestInit = {}): Promise<Response> {
  await new Promise((resolve) => setTimeout(resolve, 60));
  if (scene === 'offline') throw new TypeError('network');
  if (path === '/api/defaults') return json({ settings, models, corpora });
  if (path === '/api/rooms') return create(JSON.parse(String(init.body)) as RoomSettings);
  if (path === `/api/rooms/${CODE}`) return json(info());
  if (path.startsWith(`/api/rooms/${CODE}/`)) return json({});
  return json(faultOf('unknown_room'), 404);
}

function create(wanted: RoomSettings): Response {
  if (wanted.round.rounds >= 1) return json({ code: CODE, owner_token: 'secret' }, 201);
  const fault: Fault = {
    code: 'bad_settings',
    blame: 'client',
    message: `setting round.rounds: expected 1 to 100000, got ${wanted.round.rounds}.`,
    mend: 'Change round.rounds and try again.',
  };
  return json(fault, 400);
}

function info() {
  const completed = scene === 'finished' ? 10 : scene === 'watch' ? 3 : 0;
  const rounds = Array.from({ length: completed + 1 }, (_, round) => round);
  const phase =
    scene === 'finished'
      ? { type: 'finished' }
      : scene === 'watch'
        ? { type: 'working', round: 4, attempt: 1, selected: 2, reported: 1, deadline_ms: 90_000 }
        : { type: 'waiting' };
  return {
    view: { code: CODE, completed, phase, connected: 1, ready: 1, needed: 2, members: [member(2, 'ready')] },
    settings,
    model,
    recorded: scene === 'recorded',
    history: rounds.slice(1).map(recordOf),
    evaluations: rounds.map(evaluation),
  };
}

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}
