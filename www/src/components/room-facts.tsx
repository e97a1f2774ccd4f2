// The settings of the room, for those who want to know exactly, and the adapter so far.

import type { Growth } from '../generated/Growth';
import type { LoraSettings } from '../generated/LoraSettings';
import type { SoftLabelSettings } from '../generated/SoftLabelSettings';
import type { TrainingSettings } from '../generated/TrainingSettings';
import { room } from '../state/session';
import { compressionWords, partitionWords, ruleWords } from '../text/federation';
import { count, decimal, percent, plural } from '../text/format';
import { targetWords } from '../text/lora';
import { AdapterFiles } from './adapter-files';

export function RoomFacts() {
  const { settings, model, view, adopted, recorded } = room.value;
  if (!settings) return null;
  const { task, texts, training, lora, soft_labels: soft, round } = settings;
  const facts: [string, string][] = [
    ['Question to the model', task.patterns.map(question).join(' · ')],
    ['Label words', task.labels.map(({ name, words }) => `${name}: ${words.join(', ')}`).join(' · ')],
    ['The model’s habits', HABITS[task.calibration]],
    ['Base model', model ? `${model.name}, ${count(model.parameters)} parameters` : settings.model],
    ['Trained part', trainedPart(lora)],
    ['Training in a tab', trainingWords(training)],
    ['Soft labels', softWords(soft)],
    ['A round ends after', `${round.deadline_seconds} s at the latest`],
    ['The labels are', texts.from === 'corpus' ? `dealt ${partitionWords(texts.deal.partition)}` : 'as everyone brings them'],
    ['The next common model is', ruleWords(settings.aggregation.rule)],
    ['Updates are sent', compressionWords(settings.compression)],
    ['Updates', recorded ? 'kept by the server, each as it came' : 'averaged, then forgotten'],
    ['Adapter in use', adopted?.hash ?? '–'],
  ];
  return (
    <details class="card">
      <summary>
        <h2>About this room</h2>
      </summary>
      <dl class="facts">
        {facts.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {(view?.completed ?? 0) > 0 && view?.phase.type !== 'finished' && <AdapterFiles />}
    </details>
  );
}

function trainingWords({ epochs, batch_size: batch, learning_rate: rate, round_decay: decay }: TrainingSettings): string {
  const words = `${plural(epochs, 'pass', 'passes')}, ${batch} texts a step, learning rate ${decimal(rate)}`;
  if (decay === null || decay === 1) return words;
  return `${words} in the first round, then ${percent(decay)} of the round’s before`;
}

/** What is trained, with the settings that differ from the usual ones. */
function trainedPart({ rank, scaling, dropout, targets, top_layers: top }: LoraSettings): string {
  const parts = [`LoRA of rank ${rank} on ${targetWords(targets)}`];
  if (top !== null) parts.push(top === 1 ? 'in the top layer alone' : `in the top ${top} layers`);
  if (scaling === 'rank_stabilised') parts.push('rank-stabilised');
  if (dropout > 0) parts.push(`dropout ${percent(dropout)}`);
  return parts.join(', ');
}

const HABITS = {
  none: 'left as they are',
  content_free: 'its answer to an empty text is taken off',
  unlabelled: 'its usual answer to a tab’s texts is taken off',
};

function question(pattern: string): string {
  return pattern.replace(/\{text(_2)?\}/g, '…').replace('{mask}', '[word]');
}

function softWords({ growth, kind }: SoftLabelSettings): string {
  if (growth.by === 'off') return 'none';
  const counts = kind === 'hard' ? 'as its likeliest label alone' : 'with its doubts';
  return `${growthWords(growth)}; a guess counts ${counts}`;
}

function growthWords(growth: Exclude<Growth, { by: 'off' }>): string {
  switch (growth.by) {
    case 'fraction':
      return `from the second round, ${percent(growth.per_round)} more of a tab’s texts each round`;
    case 'factor':
      return `from the second round, ${decimal(growth.factor)} times as many labels each round`;
  }
}
