// The settings that a person may want to change, in plain words; all have a sensible value.

import type { Corpus } from '../api';
import type { ModelInfo } from '../generated/ModelInfo';
import { OWN, usualSpeed, type Draft } from '../state/draft';
import { bytes, count } from '../text/format';
import type { FieldFault } from '../text/faults';
import { LORA_TARGETS } from '../text/lora';
import { PartitionOptions, UpdateOptions } from './federation-options';
import { AreaField, ChecksField, ChoiceField, NumberField } from './field';

type Props = {
  draft: Draft;
  models: ModelInfo[];
  corpora: Corpus[];
  fault: FieldFault | null;
  onChange: (part: Partial<Draft>) => void;
};

export function Options(props: Props) {
  return (
    <details class="options">
      <summary>Options</summary>
      {props.models.length > 1 && <ModelOptions {...props} />}
      <TextsOptions {...props} />
      <RoundOptions {...props} />
      <SoftLabelOptions {...props} />
      <TrainingOptions {...props} />
      <UpdateOptions {...props} />
    </details>
  );
}

function ModelOptions({ draft, models, fault, onChange }: Props) {
  const chosen = models.find(({ name }) => name === draft.model);
  const choices = models.map(({ name, parameters }) => ({
    value: name,
    label: `${name} (${count(parameters)} parameters)`,
  }));
  return (
    <fieldset>
      <legend>Model</legend>
      <ChoiceField
        label="Which model"
        hint={`Each tab fetches it${chosen ? `: ${bytes(sizeOf(chosen))}` : ''}. A larger one has read more, and each of its steps takes longer.`}
        path="model"
        fault={fault}
        value={draft.model}
        choices={choices}
        onValue={(model) => onChange({ model })}
      />
    </fieldset>
  );
}

function sizeOf({ files }: ModelInfo): number {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}

function TextsOptions({ draft, corpora, fault, onChange }: Props) {
  const choices = [
    ...corpora.map(({ name, title, train }) => ({
      value: name,
      label: `${title} (${count(train)} texts, dealt out)`,
    })),
    { value: OWN, label: 'Everyone brings their own' },
  ];
  return (
    <fieldset>
      <legend>Texts</legend>
      <ChoiceField
        label="Which texts"
        hint="Dealt out: each tab gets its own share. Own: each person connects a file, and it stays in their tab."
        path="texts.corpus"
        fault={fault}
        value={draft.corpus}
        choices={choices}
        onValue={(corpus) => onChange({ corpus })}
      />
      {draft.corpus === OWN ? (
        <>
          <AreaField
            label="Labels and their words"
            hint="One label a line: its name, a colon, and one or more common words that stand for it."
            path="task.labels"
            fault={fault}
            rows={4}
            value={draft.labels}
            onValue={(labels) => onChange({ labels })}
          />
          <AreaField
            label="Questions to the model"
            hint="One a line: {text} is where a text goes, {mask} is the word that the model fills in. It answers all of them, and the mean counts."
            path="task.patterns"
            fault={fault}
            rows={2}
            value={draft.patterns}
            onValue={(patterns) => onChange({ patterns })}
          />
        </>
      ) : (
        <div class="pair">
          <NumberField
            label="Labelled texts per tab"
            hint="How many a tab gets with the right label."
            path="texts.deal.gold"
            fault={fault}
            value={draft.gold}
            onValue={(gold) => onChange({ gold })}
          />
          <NumberField
            label="Unlabelled texts per tab"
            hint="How many it gets without one."
            path="texts.deal.unlabelled"
            fault={fault}
            value={draft.unlabelled}
            onValue={(unlabelled) => onChange({ unlabelled })}
          />
        </div>
      )}
      {draft.corpus !== OWN && <PartitionOptions draft={draft} fault={fault} onChange={onChange} />}
      <ReadingOptions draft={draft} fault={fault} onChange={onChange} />
    </fieldset>
  );
}

function ReadingOptions({ draft, fault, onChange }: Omit<Props, 'models' | 'corpora'>) {
  return (
    <div class="pair">
      <ChoiceField
        label="The model’s habits"
        hint="A small model likes some words better than others, whatever the text says. That can be taken off its answers."
        path="task.calibration"
        fault={fault}
        value={draft.calibration}
        choices={[
          { value: 'none', label: 'leave them' },
          { value: 'content_free', label: 'take off its answer to an empty text' },
          { value: 'unlabelled', label: 'take off its usual answer to these texts' },
        ]}
        onValue={(calibration) => onChange({ calibration })}
      />
      <ChoiceField
        label="Of a long text, leave out"
        hint="The model reads only so many words at once."
        path="task.truncate"
        fault={fault}
        value={draft.truncate}
        choices={[
          { value: 'end', label: 'its end' },
          { value: 'start', label: 'its start' },
          { value: 'middle', label: 'its middle' },
        ]}
        onValue={(truncate) => onChange({ truncate })}
      />
    </div>
  );
}

function RoundOptions({ draft, fault, onChange }: Props) {
  return (
    <fieldset>
      <legend>Rounds</legend>
      <div class="pair">
        <NumberField
          label="Number of rounds"
          hint="After these the room is finished."
          path="round.rounds"
          fault={fault}
          value={draft.rounds}
          onValue={(rounds) => onChange({ rounds })}
        />
        <NumberField
          label="Tabs needed to start"
          hint="A round waits until this many are ready."
          path="round.quorum"
          fault={fault}
          value={draft.needed}
          onValue={(needed) => onChange({ needed })}
        />
        <NumberField
          label="Longest round"
          hint="Then it ends with the updates that are there."
          path="round.deadline_seconds"
          fault={fault}
          unit="seconds"
          value={draft.deadline}
          onValue={(deadline) => onChange({ deadline })}
        />
        <ChoiceField
          label="The first round starts"
          hint="You can pause and go on at any time."
          path="round.start"
          fault={fault}
          value={draft.start}
          choices={[
            { value: 'automatic', label: 'when enough tabs are ready' },
            { value: 'manual', label: 'when I press Start' },
          ]}
          onValue={(start) => onChange({ start })}
        />
        <ChoiceField
          label="A round waits for"
          hint="Some: slow tabs hold nobody up. They go on with their work, and it counts less the later it comes (FedBuff)."
          path="round.mode"
          fault={fault}
          value={draft.waits}
          choices={[
            { value: 'all', label: 'all tabs that began it' },
            { value: 'some', label: 'some updates, from any round' },
          ]}
          onValue={(waits) => onChange({ waits })}
        />
        {draft.waits === 'some' && (
          <>
            <NumberField
              label="Updates that make a round"
              hint="From tabs of any round; each tab counts once."
              path="round.goal"
              fault={fault}
              value={draft.goal}
              onValue={(goal) => onChange({ goal })}
            />
            <NumberField
              label="Oldest update"
              hint="A tab that falls further behind begins anew."
              path="round.mode.max_staleness"
              fault={fault}
              unit="rounds"
              value={draft.staleness}
              onValue={(staleness) => onChange({ staleness })}
            />
          </>
        )}
      </div>
    </fieldset>
  );
}

function SoftLabelOptions({ draft, fault, onChange }: Props) {
  return (
    <fieldset>
      <legend>Soft labels</legend>
      <p class="hint">A soft label is the common model’s own guess for a text that nobody labelled.</p>
      <div class="pair">
        <ChoiceField
          label="Soft labels"
          hint="From the second round on, tabs train on them too."
          path="soft_labels.growth.by"
          fault={fault}
          value={draft.growth}
          choices={[
            { value: 'fraction', label: 'the same share more each round' },
            { value: 'factor', label: 'many times more each round' },
            { value: 'off', label: 'none' },
          ]}
          onValue={(growth) => onChange({ growth, speed: usualSpeed(growth) })}
        />
        {draft.growth !== 'off' && (
          <NumberField
            label="How fast"
            hint={
              draft.growth === 'fraction'
                ? 'Share of a tab’s unlabelled texts that is added each round.'
                : 'How many times the labelled texts grow from round to round.'
            }
            path="soft_labels.growth"
            fault={fault}
            unit={draft.growth === 'fraction' ? '%' : 'times'}
            value={draft.speed}
            onValue={(speed) => onChange({ speed })}
          />
        )}
      </div>
      {draft.growth !== 'off' && (
        <ChoiceField
          label="A guess counts"
          hint="The likeliest label alone is learned faster; with its doubts, the model stays less sure of itself."
          path="soft_labels.kind"
          fault={fault}
          value={draft.kind}
          choices={[
            { value: 'hard', label: 'as the likeliest label alone' },
            { value: 'soft', label: 'with its doubts: a share for each label' },
          ]}
          onValue={(kind) => onChange({ kind })}
        />
      )}
    </fieldset>
  );
}

function TrainingOptions({ draft, fault, onChange }: Props) {
  return (
    <fieldset>
      <legend>Training in a tab</legend>
      <div class="pair">
        <NumberField
          label="Passes over the texts"
          hint="How often a tab goes through its texts in one round."
          path="training.epochs"
          fault={fault}
          value={draft.epochs}
          onValue={(epochs) => onChange({ epochs })}
        />
        <NumberField
          label="Learning rate"
          hint="How far one step moves the model; too far and it forgets."
          path="training.learning_rate"
          fault={fault}
          value={draft.learningRate}
          onValue={(learningRate) => onChange({ learningRate })}
        />
        <NumberField
          label="Learning rate of the next round"
          hint="In percent of this round’s. Empty: 50 with two labels and the usual answer to these texts taken off, since the model then begins close to the goal and soon knows few texts by heart; else 100."
          path="training.round_decay"
          fault={fault}
          unit="%"
          value={draft.roundDecay}
          onValue={(roundDecay) => onChange({ roundDecay })}
        />
        <NumberField
          label="Size of the update (LoRA rank)"
          hint="A larger one can learn more and is more to send."
          path="lora.rank"
          fault={fault}
          value={draft.rank}
          onValue={(rank) => onChange({ rank })}
        />
        <ChoiceField
          label="Weight of the update"
          hint="Standard: the same for every size. Rank-stabilised: falls more slowly with the size, so that large updates learn more."
          path="lora.scaling"
          fault={fault}
          value={draft.scaling}
          choices={[
            { value: 'standard', label: 'standard' },
            { value: 'rank_stabilised', label: 'rank-stabilised (rsLoRA)' },
          ]}
          onValue={(scaling) => onChange({ scaling })}
        />
        <NumberField
          label="Dropout"
          hint="Share of the update’s inputs that each step leaves out at random, against learning few texts by heart."
          path="lora.dropout"
          fault={fault}
          unit="%"
          value={draft.dropout}
          onValue={(dropout) => onChange({ dropout })}
        />
        <NumberField
          label="Layers that learn, from the top"
          hint="Empty: all. With fewer, each text passes the others only once: steps are faster, updates smaller."
          path="lora.top_layers"
          fault={fault}
          value={draft.topLayers}
          onValue={(topLayers) => onChange({ topLayers })}
        />
      </div>
      <ChecksField
        label="Parts of each layer that learn"
        hint="More of them can learn more; each makes the update larger and a step slower."
        path="lora.targets"
        fault={fault}
        values={draft.targets}
        choices={LORA_TARGETS}
        onValues={(targets) => onChange({ targets })}
      />
    </fieldset>
  );
}
