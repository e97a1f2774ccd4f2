// One button between a join link and training; in a room of own texts a file comes first.

import { useState } from 'preact/hooks';
import type { OwnTexts } from '../generated/OwnTexts';
import { downloadBytes } from '../state/facts';
import { keepName, keptName, keptTexts } from '../state/memory';
import { code, join, room } from '../state/session';
import { bytes } from '../text/format';
import { friendlyName } from '../text/names';
import { TextsPicker } from './texts-picker';

/** Most characters of a name, as the server takes them. */
const NAME_CHARACTERS = 40;

export function JoinCard() {
  const [suggested] = useState(() => keptName() ?? friendlyName(Math.random));
  const [name, setName] = useState(suggested);
  const [texts, setTexts] = useState<OwnTexts | null>(() => keptTexts(code.value));
  const { settings, recorded } = room.value;
  const own = settings?.texts.from === 'own';
  const size = downloadBytes(room.value);
  const submit = (event: Event) => {
    event.preventDefault();
    const shown = name.trim() || suggested;
    keepName(shown, shown === suggested ? 'suggested' : 'chosen');
    join(shown, own ? texts : null);
  };
  return (
    <section class="card join" aria-labelledby="join-title">
      <h2 id="join-title">Join with this tab</h2>
      <p>
        {own
          ? 'This tab trains the common model on texts of your own. The texts stay in the tab; only a small update leaves it after each round.'
          : 'This tab gets a few texts and trains the common model on them. Only a small update leaves it after each round.'}
      </p>
      {recorded && (
        <p data-testid="recorded">
          <strong>This room is recorded:</strong> the server keeps each tab’s updates, not only
          their average. Texts are never sent, but an update tells something about them.
        </p>
      )}
      <form onSubmit={submit}>
        {own && settings && (
          <TextsPicker labels={settings.task.labels} texts={texts} onTexts={setTexts} />
        )}
        <div class="field">
          <label for="name">Your name</label>
          <input
            id="name"
            data-testid="name-input"
            type="text"
            autocomplete="nickname"
            maxLength={NAME_CHARACTERS}
            aria-describedby="name-hint"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <p class="hint" id="name-hint">
            Everyone in the room sees it. Any name will do.
          </p>
        </div>
        <button
          type="submit"
          class="primary large"
          data-testid="join-button"
          disabled={!settings || (own && texts === null)}
        >
          Join
        </button>
        {size > 0 && (
          <p class="hint">Fetches the model once ({bytes(size)}), then keeps it for next time.</p>
        )}
      </form>
    </section>
  );
}
