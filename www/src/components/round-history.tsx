// Every round so far: how it ended, and why anyone was left out.

import type { ClientId } from '../generated/ClientId';
import type { RoundRecord } from '../generated/RoundRecord';
import { room } from '../state/session';
import { bytes, count, duration, plural } from '../text/format';
import { Scroll } from './scroll';

export function RoundHistory() {
  const { history, names } = room.value;
  return (
    <details class="card">
      <summary>
        <h2>
          Past rounds <span class="tally">{history.length}</span>
        </h2>
      </summary>
      {history.length === 0 ? (
        <p class="hint">No round has ended yet.</p>
      ) : (
        <Scroll label="Past rounds">
          <table data-testid="round-history">
            <thead>
              <tr>
                <th scope="col">Round</th>
                <th scope="col">Tabs</th>
                <th scope="col">Labelled</th>
                <th scope="col">Soft labels</th>
                <th scope="col">Loss</th>
                <th scope="col">Updates</th>
                <th scope="col">Time</th>
              </tr>
            </thead>
            <tbody>
              {[...history].reverse().map((record) => (
                <Round key={`${record.round}.${record.attempt}`} record={record} names={names} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </details>
  );
}

function Round({ record, names }: { record: RoundRecord; names: Record<ClientId, string> }) {
  const { outcome, excluded: left } = record;
  const unnamed = record.selected - record.reported - left.length;
  return (
    <>
      <tr class={outcome.type}>
        <th scope="row">
          {record.round}
          {record.attempt > 1 && <span class="hint"> try {record.attempt}</span>}
        </th>
        <td>
          {record.reported} of {record.selected}
        </td>
        <td>{count(record.gold)}</td>
        <td>{count(record.soft)}</td>
        <td>{record.loss?.toFixed(3) ?? '–'}</td>
        <td>{bytes(record.bytes_up)}</td>
        <td>{duration(record.duration_ms)}</td>
      </tr>
      {(left.length > 0 || outcome.type === 'abandoned') && (
        <tr class="aside">
          <td class="words" colSpan={7}>
            {outcome.type === 'abandoned' && <p>Given up: {outcome.reason}</p>}
            {left.map(({ client, reason }) => (
              <p key={client}>
                <bdi>{names[client] ?? `Tab ${client}`}</bdi> was left out because {reason}.
              </p>
            ))}
            {left.length > 0 && unnamed > 0 && <p>and {plural(unnamed, 'more tab', 'more tabs')}.</p>}
          </td>
        </tr>
      )}
    </>
  );
}
