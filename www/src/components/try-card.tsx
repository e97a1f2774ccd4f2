// One's own sentence put to the common model: the probability of each label, round by round.

import { useState } from 'preact/hooks';
import type { Label } from '../generated/Label';
import { classify, room } from '../state/session';
import type { Answer } from '../state/trial';
import { percent } from '../text/format';

export function TryCard() {
  const [text, setText] = useState('');
  const { ready, trial, settings } = room.value;
  const labels = settings?.task.labels ?? [];
  const newest = trial?.answers.at(-1);
  const submit = (event: Event) => {
    event.preventDefault();
    if (ready && text.trim() !== '') classify(text.trim());
  };
  return (
    <section class="card try" aria-labelledby="try-title">
      <h2 id="try-title">Try the common model</h2>
      <form onSubmit={submit}>
        <label for="try-input" class="unseen">
          Your own sentence
        </label>
        <input
          id="try-input"
          data-testid="try-input"
          type="text"
          autocomplete="off"
          maxLength={2000}
          placeholder="Write a sentence of your own"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="primary" data-testid="try-button" disabled={!ready}>
          Try
        </button>
      </form>
      <div
        class="answer"
        data-testid="try-result"
        data-round={newest?.round}
        aria-live="polite"
        aria-busy={trial?.waiting ?? false}
      >
        {trial && newest ? (
          <Result text={trial.text} labels={labels} newest={newest} answers={trial.answers} />
        ) : (
          <p class="hint">
            {ready
              ? 'It works before any training too, so you can watch the answer change. Your sentence stays in this tab.'
              : 'You can ask as soon as the model is here.'}
          </p>
        )}
      </div>
    </section>
  );
}

type ResultProps = { text: string; labels: Label[]; newest: Answer; answers: Answer[] };

function Result({ text, labels, newest, answers }: ResultProps) {
  const best = newest.probabilities.indexOf(Math.max(...newest.probabilities));
  const name = labels[best]?.name ?? '';
  const earlier = answers.slice(0, -1).slice(-6);
  return (
    <>
      <blockquote>{text}</blockquote>
      <ul class="bars">
        {newest.probabilities.map((probability, index) => (
          <li key={index} class={index === best ? 'best' : ''}>
            <span class="bar-name">{labels[index]?.name ?? `label ${index + 1}`}</span>
            <span class="bar" aria-hidden="true">
              <span style={{ width: `${probability * 100}%` }} />
            </span>
            <span class="bar-value">{percent(probability, 1)}</span>
          </li>
        ))}
      </ul>
      <p class="hint">
        {newest.round === 0
          ? 'Answered by the model before any training.'
          : `Answered by the model after round ${newest.round}.`}
        {earlier.length > 0 &&
          ` Before, “${name}” had ${earlier
            .map(({ round, probabilities }) => `${percent(probabilities[best] ?? 0)} (round ${round})`)
            .join(', ')}.`}
      </p>
    </>
  );
}
