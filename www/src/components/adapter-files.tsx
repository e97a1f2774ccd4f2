// The common adapter to take along, as the two files that PEFT reads.

import { adapterUrl } from '../api';
import { code, room } from '../state/session';

const FILES = ['adapter_model.safetensors', 'adapter_config.json'];

/** The result of a finished room, for everyone who sees it. */
export function AdapterCard() {
  const view = room.value.view;
  if (view?.phase.type !== 'finished' || view.completed === 0) return null;
  return (
    <section class="card" aria-labelledby="adapter-title" data-testid="adapter">
      <h2 id="adapter-title">Take the result along</h2>
      <AdapterFiles />
    </section>
  );
}

export function AdapterFiles() {
  return (
    <p class="actions">
      {FILES.map((file) => (
        <a key={file} class="button" href={adapterUrl(code.value, file)} download={file}>
          Save {file}
        </a>
      ))}
      <span class="hint">Together they are an adapter that Hugging Face PEFT reads.</span>
    </p>
  );
}
