// What only the owner of the room can do.

import { act, room } from '../state/session';
import { ConfirmButton } from './confirm-button';

export function OwnerControls() {
  const { view } = room.value;
  if (!view || view.phase.type === 'finished') return null;
  const running = view.phase.type === 'working';
  const stopped = view.phase.type === 'paused';
  const started = view.completed > 0 || !stopped;
  return (
    <div class="owner" role="group" aria-label="Your room">
      <span class="tag">Your room</span>
      {stopped ? (
        <button type="button" class="primary" data-testid="owner-start" onClick={() => void act('start')}>
          {started ? 'Resume' : 'Start'}
        </button>
      ) : (
        <button type="button" data-testid="owner-pause" onClick={() => void act('pause')}>
          Pause the room
        </button>
      )}
      <button
        type="button"
        data-testid="owner-next"
        onClick={() => void act('next')}
      >
        {running ? 'End this round now' : 'Start a round now'}
      </button>
      <ConfirmButton
        question="Finish the room for everyone?"
        yes="Finish"
        onConfirm={() => void act('finish')}
      >
        Finish…
      </ConfirmButton>
    </div>
  );
}
