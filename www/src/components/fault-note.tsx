// A fault in plain words: what happened, and what to do about it.

import type { ComponentChildren } from 'preact';
import type { Fault } from '../generated/Fault';
import { faultTitle } from '../text/faults';

type Props = {
  fault: Fault;
  /** Where the status line already says the title. */
  untitled?: true;
  onDismiss?: () => void;
  children?: ComponentChildren;
};

export function FaultNote({ fault, untitled, onDismiss, children }: Props) {
  const tone = fault.blame === 'nobody' ? 'mild' : 'grave';
  return (
    <div class={`note ${tone}`} role="alert" data-testid="fault" data-code={fault.code}>
      <div class="note-words">
        {!untitled && <p class="note-title">{faultTitle(fault)}</p>}
        <p>
          {faultTitle(fault) === fault.message ? '' : `${fault.message} `}
          {fault.mend}
        </p>
      </div>
      {children && <div class="actions">{children}</div>}
      {onDismiss && (
        <button type="button" class="quiet close" aria-label="Hide this message" onClick={onDismiss}>
          ✕
        </button>
      )}
    </div>
  );
}
