// All the rounds of the room side by side: done, under way, to come.

import type { RoomView } from '../generated/RoomView';

/** Above this many rounds single ones cannot be told apart. */
const MOST_SEGMENTS = 40;

type Props = { rounds: number; view: RoomView };

export function RoundTrack({ rounds, view }: Props) {
  const { completed, phase } = view;
  const label = `${completed} of ${rounds} rounds completed`;
  if (rounds > MOST_SEGMENTS) {
    return <progress class="track-bar" max={rounds} value={completed} aria-label={label} />;
  }
  const share =
    phase.type === 'working' && phase.selected > 0 ? phase.reported / phase.selected : 0;
  return (
    <div class="track" role="img" aria-label={label}>
      {Array.from({ length: rounds }, (_, index) => {
        const running = phase.type === 'working' && index === phase.round - 1;
        const state = index < completed ? 'done' : running ? 'running' : 'open';
        const filled = state === 'done' ? 1 : running ? share : 0;
        return (
          <span key={index} class={`segment ${state}`}>
            <span style={{ width: `${filled * 100}%` }} />
          </span>
        );
      })}
    </div>
  );
}
