// How others get in: QR code, code and link.

import { useRef, useState } from 'preact/hooks';
import { roomAddress } from '../route';
import { Qr } from './qr';

type Props = { code: string; size: 'large' | 'small' };

export function Invite({ code, size }: Props) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'failed'>('no');
  const dialog = useRef<HTMLDialogElement>(null);
  const link = location.origin + roomAddress(code);
  const shown = link.replace(/^http:\/\//, '');
  const copy = async () => {
    const done = await navigator.clipboard?.writeText(link).then(
      () => true,
      () => false,
    );
    setCopied(done ? 'yes' : 'failed');
  };
  return (
    <section class={`card invite ${size}`} aria-labelledby="invite-title">
      <h2 id="invite-title">Invite others</h2>
      <div class="invite-body">
        <button
          type="button"
          class="qr-button"
          aria-label="Show the QR code large"
          onClick={() => dialog.current?.showModal()}
        >
          <Qr text={link} label={`QR code of ${link}`} />
        </button>
        <div class="invite-words">
          <p class="code" data-testid="room-code">
            {code}
          </p>
          <p class="link">{shown}</p>
          <p class="actions">
            <button type="button" onClick={() => void copy()}>
              Copy the link
            </button>
            <span role="status" class="hint">
              {copied === 'yes' && 'Copied.'}
              {copied === 'failed' && 'Not allowed here: copy it from above.'}
            </span>
          </p>
          {size === 'large' && isLoopback(location.hostname) && (
            <p class="hint">
              This address works on this machine only. For other devices, start the server with{' '}
              <code>--listen 0.0.0.0:8080</code> and open it by this machine’s network address.
            </p>
          )}
        </div>
      </div>
      <dialog ref={dialog} class="projector" aria-label="How to join">
        <Qr text={link} label={`QR code of ${link}`} />
        <p class="code">{code}</p>
        <p class="link">{shown}</p>
        <form method="dialog">
          <button type="submit">Close</button>
        </form>
      </dialog>
    </section>
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host.startsWith('127.');
}
