// Who holds which texts, and how updates travel and are brought together.

import type { Draft } from '../state/draft';
import { COMPRESSION_AMOUNTS, PARTITION_AMOUNTS, RULE_AMOUNTS } from '../state/federation';
import type { FieldFault } from '../text/faults';
import { COMPRESSIONS, PARTITIONS, RULES } from '../text/federation';
import { ChoiceField, NumberField } from './field';

type Props = {
  draft: Draft;
  fault: FieldFault | null;
  onChange: (part: Partial<Draft>) => void;
};

export function PartitionOptions({ draft, fault, onChange }: Props) {
  return (
    <div class="pair">
      <ChoiceField
        label="The labels are dealt"
        hint="People rarely hold the same kinds of texts; unlike ones are harder to learn from together."
        path="texts.deal.partition.by"
        fault={fault}
        value={draft.partition}
        choices={PARTITIONS}
        onValue={(partition) =>
          onChange({ partition, partitionAmount: PARTITION_AMOUNTS[partition]?.usual ?? '' })
        }
      />
      {draft.partition === 'label_mix' && (
        <NumberField
          label="How alike (alpha)"
          hint="0.1: nearly one label a tab; 1: quite unlike; 100: nearly alike."
          path="texts.deal.partition"
          fault={fault}
          value={draft.partitionAmount}
          onValue={(partitionAmount) => onChange({ partitionAmount })}
        />
      )}
      {draft.partition === 'label_shards' && (
        <NumberField
          label="Labels a tab"
          hint="About how many different labels one tab sees."
          path="texts.deal.partition"
          fault={fault}
          value={draft.partitionAmount}
          onValue={(partitionAmount) => onChange({ partitionAmount })}
        />
      )}
      {draft.partition !== 'iid' && (
        <NumberField
          label="Tabs that share the texts"
          hint="The texts are split into this many parts before anyone joins."
          path="texts.deal.clients"
          fault={fault}
          value={draft.holders}
          onValue={(holders) => onChange({ holders })}
        />
      )}
    </div>
  );
}

export function UpdateOptions({ draft, fault, onChange }: Props) {
  return (
    <fieldset>
      <legend>Updates</legend>
      <ChoiceField
        label="The next common model is"
        hint="What the server makes of the tabs’ updates. Some ways bear one strange update, or texts dealt unlike, better than others."
        path="aggregation.rule.by"
        fault={fault}
        value={draft.rule}
        choices={RULES}
        onValue={(rule) => onChange({ rule, ruleAmount: RULE_AMOUNTS[rule]?.usual ?? '' })}
      />
      <RuleAmount draft={draft} fault={fault} onChange={onChange} />
      <div class="pair">
        <ChoiceField
          label="Updates are sent"
          hint="Fewer bits are less to send; the model hardly minds."
          path="compression.by"
          fault={fault}
          value={draft.compression}
          choices={COMPRESSIONS}
          onValue={(compression) =>
            onChange({ compression, compressionAmount: COMPRESSION_AMOUNTS[compression]?.usual ?? '' })
          }
        />
        {draft.compression === 'top_k' && (
          <NumberField
            label="How many of the changes"
            hint="The rest is kept in the tab and added to the next update."
            path="compression"
            fault={fault}
            unit="%"
            value={draft.compressionAmount}
            onValue={(compressionAmount) => onChange({ compressionAmount })}
          />
        )}
      </div>
    </fieldset>
  );
}

function RuleAmount({ draft, fault, onChange }: Props) {
  const field = RULE_FIELDS[draft.rule];
  if (!field) return null;
  return (
    <NumberField
      {...field}
      path="aggregation.rule"
      fault={fault}
      value={draft.ruleAmount}
      onValue={(ruleAmount) => onChange({ ruleAmount })}
    />
  );
}

const ATTACKERS = {
  label: 'Hostile tabs it withstands',
  hint: 'A round needs twice as many tabs, and three more.',
};

/** What the number of a rule is called. */
const RULE_FIELDS: Partial<Record<Draft['rule'], { label: string; hint: string; unit?: string }>> = {
  trimmed_mean: {
    label: 'Left out at each end',
    hint: 'Share of the tabs whose lowest numbers, and of those whose highest, do not count.',
    unit: '%',
  },
  krum: ATTACKERS,
  multi_krum: ATTACKERS,
  norm_bound: {
    label: 'Longest way',
    hint: 'An update that moves the model further is shortened to this.',
  },
};
