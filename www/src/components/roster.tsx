// Who is here and what each one does.

import type { MemberView } from '../generated/MemberView';
import { owner, removeClient, room } from '../state/session';
import { percent, plural } from '../text/format';
import { memberWord } from '../text/members';
import { ConfirmButton } from './confirm-button';

/** Rows that the list shows without scrolling. */
const ROWS_IN_SIGHT = 6;

export function Roster() {
  const { view, me } = room.value;
  if (!view) return null;
  // A long list scrolls by itself, so the keyboard must reach it.
  const reach = view.members.length > ROWS_IN_SIGHT ? { tabIndex: 0 } : {};
  const hidden = view.connected - view.members.filter(({ state }) => state !== 'away').length;
  return (
    <section class="card" aria-labelledby="roster-title">
      <h2 id="roster-title">
        Who is here <span class="tally">{view.connected}</span>
      </h2>
      {view.members.length === 0 && <p class="hint">Nobody yet. The first one to join is shown here.</p>}
      <ul class="roster" data-testid="roster" {...reach}>
        {view.members.map((member) => (
          <Member key={member.id} member={member} mine={member.id === me} />
        ))}
      </ul>
      {hidden > 0 && <p class="hint">and {plural(hidden, 'more')}</p>}
    </section>
  );
}

function Member({ member, mine }: { member: MemberView; mine: boolean }) {
  const { id, name, state, gold, unlabelled, progress } = member;
  const busy = state === 'training' || state === 'labelling';
  return (
    <li class={`member ${state}`} data-client={id} data-state={state}>
      <span class="lamp" aria-hidden="true" />
      <span class="member-name">
        <bdi>{name}</bdi>
        {mine && <span class="tag">this tab</span>}
      </span>
      <span class="member-state">
        {memberWord(state)}
        {busy && ` ${percent(progress)}`}
      </span>
      <span class="member-texts">
        {state === 'loading' ? ' ' : `${gold} labelled, ${unlabelled} unlabelled`}
      </span>
      {busy && <progress max={1} value={progress} aria-label={`${name}: ${memberWord(state)}`} />}
      {owner.value !== null && !mine && (
        <ConfirmButton
          class="quiet small"
          label={`Remove ${name}`}
          question={`Remove ${name}?`}
          yes="Remove"
          onConfirm={() => void removeClient(id)}
        >
          Remove
        </ConfirmButton>
      )}
    </li>
  );
}
