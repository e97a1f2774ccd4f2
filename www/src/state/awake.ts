// Keeps the screen on while the tab takes part, and asks before work is thrown away.

import { effect } from '@preact/signals';
import { working } from './facts';
import { joined, paused, room } from './session';

/** Watches the session from now on. */
export function stayAwake(): void {
  let lock: WakeLockSentinel | null = null;
  let wanted = false;

  const hold = async () => {
    if (!wanted || lock || document.visibilityState !== 'visible') return;
    // The browser refuses when the battery is low; then the screen may sleep.
    const held = await navigator.wakeLock?.request('screen').catch(() => null);
    if (!held) return;
    lock = held;
    held.addEventListener('release', () => {
      lock = null;
    });
    if (!wanted) void held.release();
  };

  effect(() => {
    wanted = joined.value && !paused.value && room.value.view?.phase.type !== 'finished';
    if (wanted) void hold();
    else void lock?.release();
  });
  document.addEventListener('visibilitychange', () => void hold());

  addEventListener('beforeunload', (event) => {
    if (joined.value && working(room.value)) event.preventDefault();
  });
}
