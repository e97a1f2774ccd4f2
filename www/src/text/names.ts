// Friendly names for those who do not want to think of one.

const KINDS = [
  'Amber', 'Brisk', 'Calm', 'Clever', 'Copper', 'Curious', 'Gentle', 'Keen', 'Lucky', 'Mellow',
  'Nimble', 'Patient', 'Quiet', 'Silver', 'Sunny', 'Swift',
];
const ANIMALS = [
  'Badger', 'Crane', 'Finch', 'Fox', 'Hare', 'Heron', 'Ibex', 'Lynx', 'Marten', 'Newt', 'Otter',
  'Owl', 'Puffin', 'Seal', 'Stork', 'Wren',
];

/** A name made with `random`, which gives numbers from 0 up to 1. */
export function friendlyName(random: () => number): string {
  return `${pick(KINDS, random())} ${pick(ANIMALS, random())}`;
}

function pick(words: string[], share: number): string {
  return words[Math.floor(share * words.length)] ?? words[0] ?? '';
}
