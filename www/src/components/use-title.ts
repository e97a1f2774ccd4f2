// The title of the browser's tab, so that someone in another tab sees how the room stands.

import { useEffect } from 'preact/hooks';

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}
