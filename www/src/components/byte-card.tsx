// What left this tab and what came in, in sum, against the full model.

import { fullModelBytes, timesMore } from '../state/facts';
import { updateBytes } from '../state/ledger';
import { room } from '../state/session';
import { bytes, times } from '../text/format';

export function ByteCard() {
  const { ledger } = room.value;
  return (
    <section class="card bytes" aria-labelledby="bytes-title">
      <h2 id="bytes-title">What left this tab</h2>
      <dl class="amounts">
        <div>
          <dt>sent</dt>
          <dd data-testid="bytes-up" data-bytes={ledger.up}>
            {bytes(ledger.up)}
          </dd>
        </div>
        <div>
          <dt>received</dt>
          <dd data-testid="bytes-down" data-bytes={ledger.down}>
            {bytes(ledger.down)}
          </dd>
        </div>
      </dl>
      <Comparison />
      <p>
        <a href="#messages" onClick={openLedger}>
          See every message
        </a>
      </p>
    </section>
  );
}

/** The link leads to a closed part of the page: open it on the way. */
function openLedger(): void {
  document.getElementById('messages')?.setAttribute('open', '');
}

function Comparison() {
  const full = fullModelBytes(room.value);
  const update = updateBytes(room.value.ledger);
  const more = timesMore(room.value);
  if (full === null) return null;
  if (update === null || more === null) {
    return (
      <p class="hint">
        The texts stay here. Only small updates will leave; the full model would be {bytes(full)} per
        round.
      </p>
    );
  }
  return (
    <p class="hint">
      The texts stay here. An update is {bytes(update)}; the full model would be{' '}
      <strong>{bytes(full)} per round, {times(more)} times more</strong>.
    </p>
  );
}
