// A table wider or longer than its place: it scrolls by itself, with the keyboard too.

import type { ComponentChildren } from 'preact';

type Props = { label: string; tall?: true; children: ComponentChildren };

export function Scroll({ label, tall, children }: Props) {
  return (
    <div class={tall ? 'scroll tall' : 'scroll'} tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
