// How well the common model does on texts that no tab trains on: figure, chart and table.

import { computed } from '@preact/signals';
import { accuracies } from '../state/facts';
import { room } from '../state/session';
import { count, percent } from '../text/format';
import { AccuracyChart } from './accuracy-chart';
import { Scroll } from './scroll';

const evaluations = computed(() => room.value.evaluations);
const rounds = computed(() => room.value.settings?.round.rounds ?? 1);
const labels = computed(() => room.value.settings?.task.labels.length ?? 2);

const own = computed(() => room.value.settings?.texts.from === 'own');

export function AccuracyCard() {
  const points = evaluations.value;
  const { first, newest } = accuracies(room.value);
  if (own.value && points.length === 0) return <NothingHeldOut />;
  const held = points.at(-1)?.count;
  const summary =
    newest === null
      ? 'No accuracy measured yet.'
      : `Accuracy after round ${points.at(-1)?.round}: ${percent(newest, 1)}` +
        (first === null ? '.' : `; before training: ${percent(first, 1)}.`);
  return (
    <section class="card accuracy" aria-labelledby="accuracy-title">
      <div class="card-head">
        <div>
          <h2 id="accuracy-title">Accuracy of the common model</h2>
          <p class="hint">
            {held
              ? `Share labelled right of ${count(held)} texts that no tab trains on.`
              : 'Measured after each round on texts that no tab trains on.'}
          </p>
        </div>
        {newest !== null && (
          <p class="figure">
            {percent(newest)}
            {first !== null && points.length > 1 && (
              <span class="figure-from">from {percent(first)}</span>
            )}
          </p>
        )}
      </div>
      <figure
        data-testid="accuracy-chart"
        data-points={points.length}
        aria-label={summary}
      >
        <AccuracyChart evaluations={points} rounds={rounds.value} chance={1 / labels.value} />
        <figcaption class="legend">
          <span class="key model">common model</span>
          <span class="key chance">guessing</span>
          <span class="hint">Round 0 is the model before any training.</span>
        </figcaption>
      </figure>
      <details>
        <summary>As a table</summary>
        <Scroll label="Accuracy after each round">
          <table>
            <thead>
              <tr>
                <th scope="col">After round</th>
                <th scope="col">Accuracy</th>
                <th scope="col">Macro F1</th>
                <th scope="col">Loss</th>
              </tr>
            </thead>
            <tbody>
              {points.map((point) => (
                <tr key={point.round} data-round={point.round} data-accuracy={point.accuracy}>
                  <th scope="row">{point.round === 0 ? '0 (untrained)' : point.round}</th>
                  <td>{percent(point.accuracy, 1)}</td>
                  <td>{percent(point.macro_f1, 1)}</td>
                  <td>{point.loss.toFixed(3)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </section>
  );
}

/** Where everyone brings their own texts, the server has none to measure on. */
function NothingHeldOut() {
  return (
    <section class="card" aria-labelledby="accuracy-title">
      <h2 id="accuracy-title">Accuracy of the common model</h2>
      <p class="hint">
        All texts are in the tabs, so the server has none to measure on. Below, under “Past rounds”, you
        see the loss of each round: the lower, the better the model fits the tabs’ texts.
      </p>
    </section>
  );
}
