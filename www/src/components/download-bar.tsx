// One bar over everything that this tab downloads, and where it is kept.

import { room } from '../state/session';
import { bytes } from '../text/format';

export function DownloadBar() {
  const { download, ready, storage } = room.value;
  const running = download !== null && !ready;
  return (
    <>
      {running && (
        <div class="card download">
          <label for="download">
            Fetching the model: {bytes(download.loaded)} of {bytes(download.total)}
          </label>
          <progress id="download" max={Math.max(1, download.total)} value={download.loaded} />
        </div>
      )}
      {storage?.kept === 'memory' && (
        <p class="note mild" data-testid="storage-note">
          The model is kept in memory only, so the next visit fetches it again: {storage.reason}
        </p>
      )}
    </>
  );
}
