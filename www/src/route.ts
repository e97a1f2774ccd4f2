// Which page an address means, and moving between pages without loading anew.

import { signal } from '@preact/signals';

export type Route = { page: 'home' } | { page: 'room'; code: string } | { page: 'nowhere' };

/** The page of a path. */
export function routeOf(path: string): Route {
  if (path === '/' || path === '/index.html') return { page: 'home' };
  const code = codeIn(path);
  return code === null ? { page: 'nowhere' } : { page: 'room', code };
}

/** The room's code in what someone typed or pasted: a code, a path or a whole link. */
export function codeFrom(input: string): string {
  const text = input.trim();
  const path = text.replace(/^(?:[a-z]+:\/\/)?[^/]*(?=\/r\/)/i, '');
  return codeIn(path) ?? text.replace(/\s+/g, '').toUpperCase();
}

function codeIn(path: string): string | null {
  const found = /^\/r\/([^/?#]+)\/?(?:[?#].*)?$/.exec(path);
  try {
    // Codes are read aloud and typed on phones: small letters mean the same.
    return found?.[1] ? decodeURIComponent(found[1]).toUpperCase() : null;
  } catch {
    return null;
  }
}

export const route = signal<Route>({ page: 'home' });

/** Follows the address bar from now on. */
export function followAddress(): void {
  const read = () => {
    route.value = routeOf(location.pathname);
  };
  read();
  addEventListener('popstate', read);
}

export function roomAddress(code: string): string {
  return `/r/${encodeURIComponent(code)}`;
}

export function go(path: string): void {
  history.pushState(null, '', path);
  route.value = routeOf(location.pathname);
  scrollTo(0, 0);
}
