// The worker: everything that trains runs here, so the page never freezes. It only carries
// messages between the page and the client in WebAssembly.

import init, { Client } from '../../client-wasm/pkg/client_wasm.js';
import wasmUrl from '../../client-wasm/pkg/client_wasm_bg.wasm?url';
import type { Command } from './generated/Command';
import type { Event } from './generated/Event';
import type { Start } from './helper';
import { localFault } from './text/faults';

/** The smallest module with a SIMD instruction: `i32.const 0; i8x16.splat`. */
const SIMD_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15,
  11,
]);

function emit(event: Event): void {
  postMessage(event);
}

/** Starts a helper with its port and the compiled program; returns what ends it. */
function spawn(port: MessagePort, module: WebAssembly.Module): () => void {
  const helper = new Worker(new URL('./helper.ts', import.meta.url), { type: 'module' });
  helper.postMessage({ module, port } satisfies Start, [port]);
  return () => helper.terminate();
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
  if (!WebAssembly.validate(SIMD_PROBE)) {
    stop('This browser’s WebAssembly has no SIMD, which the model needs.');
    return null;
  }
  try {
    await init({ module_or_path: wasmUrl });
    return new Client(emit, spawn);
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
