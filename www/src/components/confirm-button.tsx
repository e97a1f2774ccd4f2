// A button for what cannot be undone: it asks once more, in place.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

type Props = {
  question: string;
  yes: string;
  onConfirm: () => void;
  class?: string;
  label?: string;
  children: ComponentChildren;
};

export function ConfirmButton({ question, yes, onConfirm, label, children, ...rest }: Props) {
  const [asking, setAsking] = useState(false);
  if (!asking) {
    return (
      <button type="button" {...rest} aria-label={label} onClick={() => setAsking(true)}>
        {children}
      </button>
    );
  }
  const confirm = () => {
    setAsking(false);
    onConfirm();
  };
  const escape = (event: KeyboardEvent) => {
    if (event.key === 'Escape') setAsking(false);
  };
  return (
    <span class="confirm" role="group" aria-label={question} onKeyDown={escape}>
      <span>{question}</span>
      <button type="button" class="danger" ref={(button) => button?.focus()} onClick={confirm}>
        {yes}
      </button>
      <button type="button" class="quiet" onClick={() => setAsking(false)}>
        No
      </button>
    </span>
  );
}
