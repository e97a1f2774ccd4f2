// Opens a room: a title is enough, everything else has a sensible value.

import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api';
import type { Fault } from '../generated/Fault';
import { go, roomAddress } from '../route';
import { draftOf, read, type Draft } from '../state/draft';
import { keepName, keepOwnerToken, keptName } from '../state/memory';
import { joinWhenOpened } from '../state/session';
import { fieldFault, type FieldFault } from '../text/faults';
import { friendlyName } from '../text/names';
import { FaultNote } from './fault-note';
import { PasswordField, TextField } from './field';
import { Options } from './options';

export function CreateCard() {
  const [defaults, setDefaults] = useState<api.Defaults | null>(null);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [wrong, setWrong] = useState<FieldFault | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  /** Null until the server asks for it. */
  const [password, setPassword] = useState<string | null>(null);
  const [creating, setCreating] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  const load = async () => {
    const result = await api.defaults();
    setFault(result.ok ? null : result.fault);
    if (!result.ok) return;
    setDefaults(result.value);
    setDraft(draftOf(result.value.settings));
  };
  useEffect(() => void load(), []);

  useEffect(() => {
    if (!wrong) return;
    const field = fieldOf(form.current, wrong.field);
    field?.closest('details')?.setAttribute('open', '');
    field?.querySelector<HTMLElement>('input, select, textarea')?.focus();
  }, [wrong]);

  const refuse = (refused: Fault) => {
    if (refused.code === 'password_needed') {
      setWrong({ field: 'password', words: passwordWords(password) });
      setPassword(password ?? '');
      return;
    }
    const named = fieldFault(refused);
    const shown = named && fieldOf(form.current, named.field) ? named : null;
    setWrong(shown);
    setFault(shown ? null : refused);
  };

  const create = async (event: Event) => {
    event.preventDefault();
    if (!defaults || !draft || creating) return;
    setFault(null);
    setWrong(null);
    const reading = read(draft, defaults.settings, defaults.corpora);
    if (!reading.ok) {
      setWrong(reading.fault);
      return;
    }
    setCreating(true);
    const result = await api.createRoom(reading.settings, password);
    setCreating(false);
    if (!result.ok) {
      refuse(result.fault);
      return;
    }
    const { code, owner_token } = result.value;
    keepOwnerToken(code, owner_token);
    if (keptName() === null) keepName(friendlyName(Math.random), 'suggested');
    joinWhenOpened(code);
    go(roomAddress(code));
  };

  const change = (part: Partial<Draft>) => setDraft((old) => old && { ...old, ...part });
  return (
    <section class="card" aria-labelledby="create-title">
      <h2 id="create-title">Create a room</h2>
      {fault && (
        <FaultNote fault={fault}>
          {!defaults && (
            <button type="button" onClick={() => void load()}>
              Try again
            </button>
          )}
        </FaultNote>
      )}
      <form ref={form} onSubmit={(event) => void create(event)} noValidate>
        <TextField
          label="Title"
          hint="Everyone who joins sees it."
          path="title"
          fault={wrong}
          value={draft?.title ?? ''}
          onValue={(title) => change({ title })}
          maxLength={80}
          disabled={!draft}
          testId="title-input"
        />
        {defaults && draft && (
          <Options
            draft={draft}
            models={defaults.models}
            corpora={defaults.corpora}
            fault={wrong}
            onChange={change}
          />
        )}
        {password !== null && (
          <PasswordField
            label="Password of this server"
            path="password"
            fault={wrong}
            value={password}
            onValue={setPassword}
            testId="password-input"
          />
        )}
        <button
          type="submit"
          class="primary large"
          data-testid="create-room"
          disabled={!draft || creating}
        >
          {creating ? 'Creating…' : 'Create the room'}
        </button>
      </form>
    </section>
  );
}

/** What is said when the server refuses the password, or the lack of one. */
function passwordWords(given: string | null): string {
  return given === null || given === ''
    ? 'Only those who know its password may open rooms here.'
    : 'This is not its password.';
}

/** The field of the form that shows the setting of this path. */
function fieldOf(form: HTMLElement | null, path: string): HTMLElement | undefined {
  const fields = [...(form?.querySelectorAll<HTMLElement>('[data-field]') ?? [])];
  return fields.find(({ dataset }) => path.startsWith(dataset['field'] ?? ' '));
}
