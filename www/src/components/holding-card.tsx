// The texts of this tab: labelled by people, labelled by the common model, not labelled yet.

import { room } from '../state/session';
import { count, percent } from '../text/format';
import { CoresField } from './cores-field';

export function HoldingCard() {
  const { holding, texts, settings } = room.value;
  const gold = holding?.gold ?? texts?.gold_by_label.reduce((sum, each) => sum + each, 0) ?? 0;
  const soft = holding?.soft ?? 0;
  const remaining = holding?.remaining ?? texts?.unlabelled ?? 0;
  const labels = settings?.task.labels ?? [];
  return (
    <section class="card holding" aria-labelledby="holding-title">
      <h2 id="holding-title">What this tab holds</h2>
      <div class="stack" aria-hidden="true">
        <span class="gold" style={{ flexGrow: gold }} />
        <span class="soft" style={{ flexGrow: soft }} />
        <span class="rest" style={{ flexGrow: remaining }} />
      </div>
      <dl class="amounts three">
        <div>
          <dt class="key gold">by people</dt>
          <dd data-testid="gold-count">{count(gold)}</dd>
        </div>
        <div>
          <dt class="key soft">soft labels</dt>
          <dd data-testid="soft-count">{count(soft)}</dd>
        </div>
        <div>
          <dt class="key rest">no label yet</dt>
          <dd data-testid="remaining-count">{count(remaining)}</dd>
        </div>
      </dl>
      <p class="hint">
        A soft label is the common model’s own guess, with how sure it is
        {soft > 0 && holding ? (
          <>
            : <strong>{percent(holding.confidence)}</strong> on average in this tab.
          </>
        ) : (
          '. The first round has none yet.'
        )}
      </p>
      {texts && labels.length > 0 && (
        <p class="hint">
          By people:{' '}
          {labels.map(({ name }, index) => `${texts.gold_by_label[index] ?? 0} ${name}`).join(', ')}.
        </p>
      )}
      {texts && texts.skipped.length > 0 && (
        <details>
          <summary>Rows left out</summary>
          <ul class="plain">
            {texts.skipped.map((row) => (
              <li key={row}>{row}</li>
            ))}
          </ul>
        </details>
      )}
      <CoresField />
    </section>
  );
}
