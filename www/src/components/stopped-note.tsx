// Why this tab stopped, and the way on that fits.

import { go } from '../route';
import { keptName, keptTexts } from '../state/memory';
import { code, join, room } from '../state/session';
import { offerFor } from '../text/faults';
import { FaultNote } from './fault-note';

export function StoppedNote() {
  const fault = room.value.stopped?.fault;
  if (!fault) return null;
  const again = () => join(keptName() ?? 'Guest', keptTexts(code.value));
  const offer = offerFor(fault);
  return (
    <FaultNote fault={fault} untitled>
      {offer === 'take_over' && (
        <button type="button" class="primary" data-testid="take-over" onClick={again}>
          Use it here instead
        </button>
      )}
      {offer === 'retry' && (
        <button type="button" class="primary" onClick={again}>
          Try again
        </button>
      )}
      {offer === 'reload' && (
        <button type="button" class="primary" onClick={() => location.reload()}>
          Reload the page
        </button>
      )}
      {offer === 'home' && (
        <button type="button" class="primary" onClick={() => go('/')}>
          Go to the start page
        </button>
      )}
    </FaultNote>
  );
}
