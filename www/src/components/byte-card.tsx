// The byte ledger: what left this tab and what came in, in sum, by type and one by one.

import { fullModelBytes, timesMore } from '../state/facts';
import type { Ledger } from '../state/ledger';
import { updateBytes } from '../state/ledger';
import { room } from '../state/session';
import { bytes, count, times } from '../text/format';
import { directionWord, messageWords } from '../text/messages';

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
      <details>
        <summary>Every message</summary>
        <ByType ledger={ledger} />
        <OneByOne ledger={ledger} />
      </details>
    </section>
  );
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

function ByType({ ledger }: { ledger: Ledger }) {
  return (
    <div class="scroll">
      <table>
        <caption>By type</caption>
        <thead>
          <tr>
            <th scope="col">Message</th>
            <th scope="col">Number</th>
            <th scope="col">Bytes</th>
          </tr>
        </thead>
        <tbody>
          {ledger.rows.map(({ direction, what, ...sums }) => (
            <tr key={direction + what}>
              <th scope="row">
                <Arrow direction={direction} /> {what}
                <span class="hint">{messageWords(what)}</span>
              </th>
              <td>{count(sums.count)}</td>
              <td>{bytes(sums.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function OneByOne({ ledger }: { ledger: Ledger }) {
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label="Messages one by one">
      <table>
        <caption>The newest {ledger.recent.length}, one by one</caption>
        <tbody>
          {ledger.recent.map(({ direction, what, at, ...message }, index) => (
            <tr key={ledger.recent.length - index}>
              <td class="time">{new Date(at).toLocaleTimeString()}</td>
              <th scope="row">
                <Arrow direction={direction} /> {what}
              </th>
              <td>{count(message.bytes)} B</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Arrow({ direction }: { direction: 'up' | 'down' }) {
  return (
    <span class={`arrow ${direction}`}>
      <span aria-hidden="true">{direction === 'up' ? '↑' : '↓'}</span>
      <span class="unseen">{directionWord(direction)}</span>
    </span>
  );
}
