// What the browser remembers: the owner's key, a chosen name and number of cores for good, a tab's place for as long
// as the tab lives. A browser that refuses storage only forgets.

import type { OwnTexts } from '../generated/OwnTexts';

const NAME = 'lpfl:name';
const CORES = 'lpfl:cores';

export function ownerToken(code: string): string | null {
  return read(() => localStorage, `lpfl:owner:${code}`);
}

export function keepOwnerToken(code: string, token: string): void {
  write(() => localStorage, `lpfl:owner:${code}`, token);
}

/** The token that takes this tab's place in a room back after a reload. */
export function resumeToken(code: string): string | null {
  return read(() => sessionStorage, `lpfl:resume:${code}`);
}

export function keepResumeToken(code: string, token: string | null): void {
  write(() => sessionStorage, `lpfl:resume:${code}`, token);
}

/** This tab's name, or the one that its person chose before. */
export function keptName(): string | null {
  return read(() => sessionStorage, NAME) ?? read(() => localStorage, NAME);
}

/** Keeps a name for this tab, and for the next ones where the person chose it. */
export function keepName(name: string, origin: 'chosen' | 'suggested'): void {
  write(() => sessionStorage, NAME, name);
  if (origin === 'chosen') write(() => localStorage, NAME, name);
}

/** How many processor cores a tab may use, if the person chose that. */
export function keptCores(): string | null {
  return read(() => localStorage, CORES);
}

export function keepCores(cores: number): void {
  write(() => localStorage, CORES, String(cores));
}

/** The texts that this tab connected, so that a reload need not ask for them again. */
export function keptTexts(code: string): OwnTexts | null {
  const text = read(() => sessionStorage, `lpfl:texts:${code}`);
  return text === null ? null : (JSON.parse(text) as OwnTexts);
}

export function keepTexts(code: string, texts: OwnTexts | null): void {
  write(() => sessionStorage, `lpfl:texts:${code}`, texts && JSON.stringify(texts));
}

function read(area: () => Storage, key: string): string | null {
  try {
    return area().getItem(key);
  } catch {
    return null;
  }
}

function write(area: () => Storage, key: string, value: string | null): void {
  try {
    if (value === null) area().removeItem(key);
    else area().setItem(key, value);
  } catch {
    // Storage is full or forbidden: the next visit asks again.
  }
}
