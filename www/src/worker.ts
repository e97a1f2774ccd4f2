// The worker: everything that trains runs here, so the page never freezes. It only carries
// messages between the page and the client in WebAssembly.

import type { Client } from '../../client-wasm/pkg/client_wasm.js';
import type { Command } from './generated/Command';
import type { Event } from './generated/Event';
import type { Start } from './helper';
import { addressOf, type Build, bindingsOf, buildFor } from './program';
import { localFault } from './text/faults';

function emit(event: Event): void {
  postMessage(event);
}

/** What starts a helper with its port and the compiled program; it returns what ends the helper. */
function spawning(build: Build) {
  return (port: MessagePort, module: WebAssembly.Module): (() => void) => {
    const helper = new Worker(new URL('./helper.ts', import.meta.url), { type: 'module' });
    helper.postMessage({ build, module, port } satisfies Start, [port]);
    return () => helper.terminate();
  };
}

function stop(message: string): void {
  const fault = localFault(
    'client',
    message,
    'Use a current Chrome, Edge, Firefox or Safari, close other tabs, and try again.',
  );
  emit({ type: 'fault', ...fault });
  emit({ type: 'stopped', fault });
}

async function start(): Promise<Client | null> {
  if (typeof WebAssembly === 'undefined') {
    stop('This browser does not run WebAssembly, which the model needs.');
    return null;
  }
  const build = buildFor((module) => WebAssembly.validate(module));
  if (!build) {
    stop('This browser’s WebAssembly has no SIMD, which the model needs.');
    return null;
  }
  try {
    const { default: init, Client } = await bindingsOf(build);
    await init({ module_or_path: addressOf(build) });
    return new Client(emit, spawning(build));
  } catch (error) {
    stop(`The model’s program did not start: ${wordsOf(error)}.`);
    return null;
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const client = start();

addEventListener('message', ({ data }: MessageEvent<Command>) => {
  void client.then((client) => client?.command(data));
});

// A trap in WebAssembly, for want of memory for example, ends the client without a word of its own.
function broken(error: unknown): void {
  if (error instanceof WebAssembly.RuntimeError) {
    stop(`The model’s program broke off: ${wordsOf(error)}.`);
  }
}

addEventListener('unhandledrejection', ({ reason }) => broken(reason));
addEventListener('error', ({ error }) => broken(error));
