// A make-believe server and worker for `npm run mock`: the page without a model. Not part of a build.
//
// `/r/K7QX?scene=NAME` chooses where the play begins: waiting, loading, training, five, finished,
// offline, own, recorded, or stop-CODE and fault-CODE for each fault code.

import { answer } from './server';
import { MockWorker } from './worker';

/** Puts the make-believe in the place of the network and of the worker. */
export function install(): void {
  globalThis.fetch = (input, init) => answer(String(input), init);
  globalThis.Worker = MockWorker as unknown as typeof Worker;
}
