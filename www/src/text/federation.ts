// How texts are dealt and updates are brought together, in words.

import type { Compression } from '../generated/Compression';
import type { Partition } from '../generated/Partition';
import type { Rule } from '../generated/Rule';
import { decimal } from './format';

type Choice<T extends string> = { value: T; label: string };

export const PARTITIONS: Choice<Partition['by']>[] = [
  { value: 'iid', label: 'alike' },
  { value: 'label_mix', label: 'unlike, each tab its own mix' },
  { value: 'label_shards', label: 'few to each tab' },
];

/** The rules that a room of tabs can have. */
export const RULES: Choice<Rule['by']>[] = [
  { value: 'fedavg', label: 'the mean of all (FedAvg)' },
  { value: 'ffa_lora', label: 'the mean; one of each two matrices never changes (FFA-LoRA)' },
  { value: 'rolora', label: 'the mean; the two matrices take turns (RoLoRA)' },
  { value: 'flexlora', label: 'the mean of the products of each two matrices (FlexLoRA)' },
  { value: 'hetlora', label: 'the mean; strong updates count more (HetLoRA)' },
  { value: 'median', label: 'the median of each number' },
  { value: 'trimmed_mean', label: 'the mean without each number’s extremes' },
  { value: 'krum', label: 'the one closest to its neighbours (Krum)' },
  { value: 'multi_krum', label: 'the mean of those close to each other (Multi-Krum)' },
  { value: 'norm_bound', label: 'the mean; none may move the model far (norm bound)' },
];

export const COMPRESSIONS: Choice<Compression['by']>[] = [
  { value: 'f32', label: 'exactly, 32 bits a number' },
  { value: 'f16', label: 'rounded, 16 bits a number' },
  { value: 'int8', label: 'rounded, 8 bits a number' },
  { value: 'top_k', label: 'only the largest changes' },
];

/** "the mean without each number’s extremes, 20 % at each end" */
export function ruleWords(rule: Rule): string {
  const words = labelOf(RULES, rule.by);
  switch (rule.by) {
    case 'trimmed_mean':
      return `${words}, ${inPercent(rule.share)} at each end`;
    case 'krum':
    case 'multi_krum':
      return `${words}, against ${rule.attackers} hostile`;
    case 'norm_bound':
      return `${words}, at most ${decimal(rule.norm)}`;
    default:
      return words;
  }
}

export function compressionWords(compression: Compression): string {
  const words = labelOf(COMPRESSIONS, compression.by);
  return compression.by === 'top_k' ? `${words}, ${inPercent(compression.share)}` : words;
}

/** Shares may be below one percent, so none is rounded to whole ones. */
function inPercent(share: number): string {
  return `${decimal(share * 100)} %`;
}

export function partitionWords(partition: Partition): string {
  return labelOf(PARTITIONS, partition.by);
}

function labelOf<T extends string>(choices: Choice<T>[], wanted: T): string {
  return choices.find(({ value }) => value === wanted)?.label ?? wanted;
}
