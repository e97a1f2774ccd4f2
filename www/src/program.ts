// The client in WebAssembly, in the build that this browser runs fastest.

import plainUrl from '../../client-wasm/pkg/client_wasm_bg.wasm?url';
import relaxedUrl from '../../client-wasm/pkg/relaxed/client_wasm_bg.wasm?url';

/** What the build's instructions are: a browser refuses a module with any that it does not know. */
export type Build = 'simd' | 'relaxed-simd';

type Bindings = typeof import('../../client-wasm/pkg/client_wasm.js');

/** A module of one function without arguments, which leaves a vector. */
function moduleOf(body: number[]): Uint8Array<ArrayBuffer> {
  const code = [0, ...body, 11];
  return new Uint8Array([
    ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
    ...[10, code.length + 2, 1, code.length, ...code],
  ]);
}

/** `i32.const 0; i8x16.splat` */
const SPLAT = [65, 0, 253, 15];
/** `f32x4.relaxed_madd` of three of them. */
const RELAXED = [...SPLAT, ...SPLAT, ...SPLAT, 253, 133, 2];

/** The build for a browser that takes what `validates` takes; null for one without SIMD. */
export function buildFor(validates: (module: Uint8Array<ArrayBuffer>) => boolean): Build | null {
  if (validates(moduleOf(RELAXED))) return 'relaxed-simd';
  return validates(moduleOf(SPLAT)) ? 'simd' : null;
}

export function addressOf(build: Build): string {
  return build === 'simd' ? plainUrl : relaxedUrl;
}

/** The build's JavaScript side: the compiler numbers its closures, so each build has its own. */
export function bindingsOf(build: Build): Promise<Bindings> {
  return build === 'simd'
    ? import('../../client-wasm/pkg/client_wasm.js')
    : import('../../client-wasm/pkg/relaxed/client_wasm.js');
}
