// The parts of a transformer layer that LoRA can adapt, in words.

import type { LoraTarget } from '../generated/LoraTarget';

/** Every target, in the order of a layer's work. */
export const LORA_TARGETS: { value: LoraTarget; label: string }[] = [
  { value: 'query', label: 'query' },
  { value: 'key', label: 'key' },
  { value: 'value', label: 'value' },
  { value: 'attention_output', label: 'attention output' },
  { value: 'feed_forward_in', label: 'feed-forward in' },
  { value: 'feed_forward_out', label: 'feed-forward out' },
];

/** "query, value and attention output" */
export function targetWords(targets: LoraTarget[]): string {
  const words = LORA_TARGETS.filter(({ value }) => targets.includes(value)).map(({ label }) => label);
  const last = words.pop() ?? '';
  return words.length === 0 ? last : `${words.join(', ')} and ${last}`;
}
