// A helper: one more worker of the same tab, which computes parts of what the client's worker has to
// do. It knows nothing of rooms and servers.

import init, { Helper } from '../../client-wasm/pkg/client_wasm.js';

/** What the client's worker sends: the compiled program, and the port to it. */
export type Start = { module: WebAssembly.Module; port: MessagePort };

let port: MessagePort | undefined;

addEventListener(
  'message',
  ({ data }: MessageEvent<Start>) => {
    port = data.port;
    init({ module_or_path: data.module }).then(() => new Helper(data.port), gone);
  },
  { once: true },
);

/** Without this helper the client goes on; what is no answer tells it so. */
function gone(): void {
  port?.postMessage(null);
}

// After a trap in WebAssembly, for want of memory for example, nothing here is to be trusted.
addEventListener('error', gone);
addEventListener('unhandledrejection', gone);
