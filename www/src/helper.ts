// A helper: one more worker of the same tab, which computes parts of what the client's worker has to
// do. It knows nothing of rooms and servers.

import { type Build, bindingsOf } from './program';

/** What the client's worker sends: the compiled program, which build it is, and the port to it. */
export type Start = { build: Build; module: WebAssembly.Module; port: MessagePort };

let port: MessagePort | undefined;

/** What answers. Without a name here it would be collected as garbage, and its memory given back. */
const answering: unknown[] = [];

addEventListener(
  'message',
  ({ data }: MessageEvent<Start>) => {
    port = data.port;
    start(data).catch(gone);
  },
  { once: true },
);

async function start({ build, module, port }: Start): Promise<void> {
  const { default: init, Helper } = await bindingsOf(build);
  await init({ module_or_path: module });
  answering.push(new Helper(port));
}

/** Without this helper the client goes on; what is no answer tells it so. */
function gone(): void {
  port?.postMessage(null);
}

// After a trap in WebAssembly, for want of memory for example, nothing here is to be trusted.
addEventListener('error', gone);
addEventListener('unhandledrejection', gone);
