// Plain candle, compiled as it comes.

import { serve } from '../harness.js';
import { candle } from './plain.js';
import { load } from './rust.js';

serve(({ work }) => candle(load('/pkg/candle'), work));
