// A link within the page, followed without loading anew.

import type { ComponentChildren } from 'preact';
import { go } from '../route';

type Props = { to: string; class?: string; children: ComponentChildren };

export function Link({ to, children, ...rest }: Props) {
  const follow = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
