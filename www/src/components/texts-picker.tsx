// Connects a file of texts to this tab. It is read here and goes nowhere else.

import { useState } from 'preact/hooks';
import type { Label } from '../generated/Label';
import type { OwnTexts } from '../generated/OwnTexts';
import { bytes } from '../text/format';

const MOST_BYTES = 20_000_000;

type Props = { labels: Label[]; texts: OwnTexts | null; onTexts: (texts: OwnTexts | null) => void };

export function TextsPicker({ labels, texts, onTexts }: Props) {
  const [trouble, setTrouble] = useState('');
  const choose = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > MOST_BYTES) {
      setTrouble(`${file.name} is ${bytes(file.size)}; this tab takes at most ${bytes(MOST_BYTES)}.`);
      onTexts(null);
      return;
    }
    const content = await file.text().catch(() => null);
    setTrouble(content === null ? `${file.name} could not be read. Choose it again.` : '');
    onTexts(content === null ? null : { file: file.name, content });
  };
  const names = labels.map(({ name }) => name).join(', ');
  return (
    <div class="field">
      <label for="texts">Connect your texts</label>
      <input
        id="texts"
        data-testid="texts-input"
        type="file"
        accept=".csv,.tsv,.jsonl,.txt,text/csv,text/tab-separated-values"
        aria-describedby="texts-hint texts-fault"
        onChange={(event) => void choose(event.currentTarget.files?.[0])}
      />
      {texts && (
        <p class="connected" role="status">
          {texts.file} is connected.
        </p>
      )}
      <p class="hint" id="texts-hint">
        A CSV, TSV or JSONL file with a column <code>text</code> and, where known, <code>label</code>{' '}
        ({names}). Nothing of it leaves this tab.
      </p>
      <p class="field-fault" id="texts-fault" role="alert">
        {trouble}
      </p>
    </div>
  );
}
