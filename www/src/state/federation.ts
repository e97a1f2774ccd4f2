// How a room deals its texts and brings updates together: the form's part, and the settings it means.

import type { Compression } from '../generated/Compression';
import type { Deal } from '../generated/Deal';
import type { Partition } from '../generated/Partition';
import type { RoomSettings } from '../generated/RoomSettings';
import type { Rule } from '../generated/Rule';
import { decimal } from '../text/format';

/** What the form holds, as typed; an amount is the one number that some choices have. */
export type FederationDraft = {
  partition: Partition['by'];
  partitionAmount: string;
  /** Tabs that the texts are split among, where they are not dealt alike. */
  holders: string;
  rule: Rule['by'];
  ruleAmount: string;
  compression: Compression['by'];
  compressionAmount: string;
};

/** The one number of a choice: its name in the settings, and what is usual. */
type Amount = { name: string; usual: string; whole?: true; percent?: true };

export const PARTITION_AMOUNTS: Partial<Record<Partition['by'], Amount>> = {
  label_mix: { name: 'alpha', usual: '1' },
  label_shards: { name: 'per_client', usual: '2', whole: true },
};

export const RULE_AMOUNTS: Partial<Record<Rule['by'], Amount>> = {
  trimmed_mean: { name: 'share', usual: '20', percent: true },
  krum: { name: 'attackers', usual: '1', whole: true },
  multi_krum: { name: 'attackers', usual: '1', whole: true },
  norm_bound: { name: 'norm', usual: '1' },
};

export const COMPRESSION_AMOUNTS: Partial<Record<Compression['by'], Amount>> = {
  top_k: { name: 'share', usual: '5', percent: true },
};

const USUAL_HOLDERS = '5';

/** The form's part with these settings. */
export function federationOf(deal: Deal, { aggregation, compression }: RoomSettings): FederationDraft {
  const { partition, clients } = deal;
  const { rule } = aggregation;
  return {
    partition: partition.by,
    partitionAmount: amountOf(partition, PARTITION_AMOUNTS[partition.by]),
    holders: clients > 0 ? String(clients) : USUAL_HOLDERS,
    rule: rule.by,
    ruleAmount: amountOf(rule, RULE_AMOUNTS[rule.by]),
    compression: compression.by,
    compressionAmount: amountOf(compression, COMPRESSION_AMOUNTS[compression.by]),
  };
}

function amountOf(value: object, amount: Amount | undefined): string {
  if (!amount) return '';
  const number: unknown = Object.entries(value).find(([name]) => name === amount.name)?.[1];
  if (typeof number !== 'number') return amount.usual;
  return decimal(amount.percent ? number * 100 : number);
}

/** The numbers that the choices have, as `[field, text, whole]`. */
export function amountsOf(draft: FederationDraft, dealt: boolean): [string, string, boolean][] {
  const numbers: [string, string, boolean][] = [];
  const add = (field: string, amount: Amount | undefined, text: string) => {
    if (amount) numbers.push([`${field}.${amount.name}`, text, amount.whole ?? false]);
  };
  if (dealt && draft.partition !== 'iid') {
    add('texts.deal.partition', PARTITION_AMOUNTS[draft.partition], draft.partitionAmount);
    numbers.push(['texts.deal.clients', draft.holders, true]);
  }
  add('aggregation.rule', RULE_AMOUNTS[draft.rule], draft.ruleAmount);
  add('compression', COMPRESSION_AMOUNTS[draft.compression], draft.compressionAmount);
  return numbers;
}

/** The deal's part: who holds which labels, and how many share the texts. */
export function dealtBy(draft: FederationDraft, usual: Deal): Pick<Deal, 'partition' | 'clients'> {
  if (draft.partition === 'iid') return { partition: { by: 'iid' }, clients: 0 };
  const clients = Number(draft.holders);
  const amount = Number(draft.partitionAmount);
  switch (draft.partition) {
    case 'label_mix':
      return { partition: { by: 'label_mix', alpha: amount }, clients };
    case 'label_shards':
      return { partition: { by: 'label_shards', per_client: amount }, clients };
    default:
      return { partition: usual.partition, clients };
  }
}

export function ruleOf({ rule, ruleAmount }: FederationDraft): Rule {
  const amount = Number(ruleAmount);
  switch (rule) {
    case 'trimmed_mean':
      return { by: rule, share: amount / 100 };
    case 'krum':
      return { by: rule, attackers: amount };
    case 'multi_krum':
      return { by: rule, attackers: amount, chosen: 0 };
    case 'norm_bound':
      return { by: rule, norm: amount };
    default:
      return { by: rule };
  }
}

export function compressionOf({ compression, compressionAmount }: FederationDraft): Compression {
  if (compression === 'top_k') return { by: compression, share: Number(compressionAmount) / 100 };
  return { by: compression };
}
