// What is going on, in one line for everyone and one of counters below it.

import { code, room, status } from '../state/session';
import { RoundTrack } from './round-track';
import { useTitle } from './use-title';

export function StatusLine() {
  const { headline, detail, tone } = status.value;
  const { settings, view } = room.value;
  const title = settings?.title ?? `Room ${code.value}`;
  useTitle(`${headline} · ${title} · lpfl`);
  return (
    <div class={`status ${tone}`} data-testid="status">
      {/* The counters change too often to be read out; the headline does not. */}
      <p class="headline" role="status" aria-live="polite">
        {headline}
      </p>
      <p class="detail">{detail}</p>
      {settings && view && <RoundTrack rounds={settings.round.rounds} view={view} />}
    </div>
  );
}
