// How many processor cores this tab may use, where the machine has several.

import { useId } from 'preact/hooks';
import { mostCores } from '../state/cores';
import { cores, useCores } from '../state/session';

export function CoresField() {
  const id = useId();
  // A number from the address may be above what the browser tells of the machine.
  const most = Math.max(mostCores(navigator.hardwareConcurrency), cores.value);
  if (most < 2) return null;
  const choices = Array.from({ length: most }, (_, index) => index + 1);
  return (
    <div class="field">
      <label for={id}>Processor cores this tab may use</label>
      <select
        id={id}
        data-testid="cores"
        aria-describedby={`${id}-hint`}
        value={cores.value}
        onChange={(event) => useCores(Number(event.currentTarget.value))}
      >
        {choices.map((count) => (
          <option key={count} value={count}>
            {count}
          </option>
        ))}
      </select>
      <p class="hint" id={`${id}-hint`}>
        More cores train faster. With all of them busy, the rest of the machine may feel slow.
      </p>
    </div>
  );
}
