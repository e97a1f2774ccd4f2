"""What a window of text leans to: blame or praise, by its document and by its own sentences.

A document's leaning says much of a long window and little of a short one, in which the author of a
good review may name what was bad. What the window's own sentences say (`corpus/said.npy`) knows
that, but only as far as the words are known already. So a window is judged by the sum of both.
"""

import numpy as np

from .corpus import REVIEWS, SNIPPETS
from .leanings import BINS

# The sources whose windows are judged, in the order of `corpus/said.npy`.
JUDGED = [*REVIEWS, SNIPPETS]
# Windows drawn to find out where the bins of one source and length lie.
SAMPLE = 2000


class Judgements:
    """A kind of windows, `key`, is a source and the room that its windows have: bins are quantiles
    among their like."""

    def __init__(self, starts, said, leanings):
        self.starts = np.concatenate([starts[source] for source in JUDGED])
        self.sums = np.append(0, np.cumsum(said, dtype=np.float64))
        # Of documents: from the middle, in standard deviations. Snippets have none but their own.
        self.leanings = (leanings - (BINS - 1) / 2) / leanings.std()
        self.scales, self.limits = {}, {}

    def calibrate(self, key, documents, windows):
        """Learns from drawn windows of one kind how far they scatter and where its bins lie."""
        said = np.array([self.said(window) for window in windows])
        self.scales[key] = np.median(said), said.std()
        scores = [self.score(key, *one) for one in zip(documents, windows)]
        self.limits[key] = np.quantile(scores, np.arange(1, BINS) / BINS)

    def said(self, window):
        """The sum over the window's sentences, divided by the root of their number."""
        first, last = np.searchsorted(self.starts, [window.start, window.stop])
        return (self.sums[last] - self.sums[first]) / np.sqrt(max(1, last - first))

    def score(self, key, document, window):
        middle, scale = self.scales[key]
        own = (self.said(window) - middle) / scale
        return own + (self.leanings[document] if document < len(self.leanings) else 0.0)

    def leaning(self, key, document, window):
        """The bin of a window: 0 is sharpest blame, BINS - 1 highest praise."""
        return int(np.searchsorted(self.limits[key], self.score(key, document, window)))
