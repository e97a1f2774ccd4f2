// How many workers share this tab's work, which is how many processor cores it keeps busy.

/** More bring little: the batches of a small model are small. */
const MOST_BY_ITSELF = 4;

/** The most that a person can choose. */
const MOST = 16;

/** Where a number can come from; the first that is there counts. */
export type Wishes = {
  /** `?workers=` of the address. */
  address: string | null;
  /** What the person chose before. */
  chosen: string | null;
  /** `data-workers` of the page's element, from whoever embeds it. */
  embedded: string | null;
};

/** One core stays free, so that the page and everything else on the machine answer at once. */
export function coresByItself(cores: number): number {
  return Math.max(1, Math.min(MOST_BY_ITSELF, (cores || 1) - 1));
}

export function mostCores(cores: number): number {
  return Math.max(1, Math.min(MOST, cores || 1));
}

/** How many this tab begins with; what is no number, or out of range, is passed over. */
export function coresFrom({ address, chosen, embedded }: Wishes, cores: number): number {
  for (const wish of [address, chosen, embedded]) {
    const number = Number(wish ?? '');
    if (Number.isInteger(number) && number >= 1 && number <= MOST) return number;
  }
  return coresByItself(cores);
}
