// The byte ledger: every message that left this tab or came in, by type and one by one.

import { downloadBytes } from '../state/facts';
import type { Ledger } from '../state/ledger';
import { room } from '../state/session';
import { bytes, count } from '../text/format';
import { directionWord, messageWords } from '../text/messages';
import { Scroll } from './scroll';

export function MessageLedger() {
  const { ledger } = room.value;
  const messages = ledger.rows.reduce((sum, row) => sum + row.count, 0);
  return (
    <details class="card" id="messages">
      <summary>
        <h2>
          Every message <span class="tally">{count(messages)}</span>
        </h2>
      </summary>
      <p class="hint">
        This is all that this tab and the room said to each other. Before, the tab fetched the model
        once: {bytes(downloadBytes(room.value))}. No message holds a text.
      </p>
      <div class="ledger">
        <ByType ledger={ledger} />
        <OneByOne ledger={ledger} />
      </div>
    </details>
  );
}

function ByType({ ledger }: { ledger: Ledger }) {
  return (
    <Scroll label="Messages by type">
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
    </Scroll>
  );
}

function OneByOne({ ledger }: { ledger: Ledger }) {
  return (
    <Scroll label="Messages one by one" tall>
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
    </Scroll>
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
