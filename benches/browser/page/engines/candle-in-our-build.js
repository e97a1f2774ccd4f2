// Plain candle, compiled as ours is.

import { serve } from '../harness.js';
import { candle } from './plain.js';
import { start } from './rust.js';

serve(({ work }) => candle(start(), work));
