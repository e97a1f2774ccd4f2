// The way into a room that someone else opened.

import { useState } from 'preact/hooks';
import { codeFrom, go, roomAddress } from '../route';

export function JoinByCode() {
  const [typed, setTyped] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    const code = codeFrom(typed);
    if (code !== '') go(roomAddress(code));
  };
  return (
    <section class="card" aria-labelledby="by-code-title">
      <h2 id="by-code-title">Join a room</h2>
      <form onSubmit={submit}>
        <div class="field">
          <label for="code">Room code</label>
          <input
            id="code"
            class="code-input"
            data-testid="join-code"
            type="text"
            autocomplete="off"
            autocapitalize="characters"
            spellcheck={false}
            aria-describedby="code-hint"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
          <p class="hint" id="code-hint">
            It stands on the screen of whoever opened the room. A whole link works too.
          </p>
        </div>
        <button type="submit" data-testid="join-open">
          Go to the room
        </button>
      </form>
    </section>
  );
}
