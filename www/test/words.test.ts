import { describe, expect, it } from 'vitest';
import type { Fault } from '../src/generated/Fault';
import type { FaultCode } from '../src/generated/FaultCode';
import { codeFrom, routeOf } from '../src/route';
import { answered, ask } from '../src/state/trial';
import { faultTitle, fieldFault, offerFor } from '../src/text/faults';
import { bytes, decimal, duration, percent, plural, secondsUntil, times } from '../src/text/format';
import { targetWords } from '../src/text/lora';
import { friendlyName } from '../src/text/names';
import { compressionWords, ruleWords } from '../src/text/federation';

const fault = (code: FaultCode, message = 'm'): Fault => ({ code, blame: 'client', message, mend: 'n' });

describe('LoRA targets', () => {
  it('are listed in the order of a layer', () => {
    expect(targetWords(['value'])).toBe('value');
    expect(targetWords(['feed_forward_in', 'value', 'query'])).toBe('query, value and feed-forward in');
  });
});

describe('numbers', () => {
  it('gives bytes in decimal units with three digits', () => {
    expect([0, 92, 999, 1000, 131_872, 999_600, 21_642_240].map(bytes)).toEqual([
      '0 B',
      '92 B',
      '999 B',
      '1.00 KB',
      '132 KB',
      '1.00 MB',
      '21.6 MB',
    ]);
  });

  it('gives shares, times, factors and counts', () => {
    expect([percent(0.834), percent(0.8344, 1)]).toEqual(['83 %', '83.4 %']);
    expect([duration(940), duration(9_960), duration(70_500), duration(120_000)]).toEqual([
      '0.9 s',
      '10 s',
      '1 min 11 s',
      '2 min',
    ]);
    expect([times(163.7), times(8.42)]).toEqual(['164', '8.4']);
    expect([plural(1, 'tab'), plural(0, 'tab'), plural(1200, 'tab')]).toEqual([
      '1 tab',
      '0 tabs',
      '1,200 tabs',
    ]);
    expect([secondsUntil(1500, 0), secondsUntil(0, 900)]).toEqual([2, 0]);
  });

  it('hides the noise of 32-bit floats', () => {
    expect(decimal(0.0010000000474974513)).toBe('0.001');
    expect(decimal(25)).toBe('25');
  });
});

describe('ways of averaging and sending', () => {
  it('name their amount, also below one percent', () => {
    expect(compressionWords({ by: 'top_k', share: 0.005 })).toBe('only the largest changes, 0.5 %');
    expect(ruleWords({ by: 'trimmed_mean', share: 0.20000000298023224 })).toContain(', 20 % at each end');
    expect(ruleWords({ by: 'krum', attackers: 2 })).toContain('against 2 hostile');
    expect(ruleWords({ by: 'fedex_lora' })).toBe('fedex_lora');
  });
});

describe('faults', () => {
  it('finds the field in what the server refused', () => {
    const refused = fault('bad_settings', 'setting round.rounds: expected 1 to 100000, got 0.');
    expect(fieldFault(refused)).toEqual({
      field: 'round.rounds',
      words: 'This must be between 1 and 100000, not 0.',
    });
    const words = fault('bad_settings', 'setting task.labels[0].name: expected a name, got .');
    expect(fieldFault(words)?.words).toBe('This must be a name, not empty.');
    const share = 'setting aggregation.rule.share: expected from 0 to below 0.5, got 0.6.';
    expect(fieldFault(fault('bad_settings', share))?.words).toBe('This must be from 0 to below 50 %, not 60 %.');
    expect(fieldFault(fault('bad_settings', 'unknown field `tittle`.'))).toBeNull();
    expect(fieldFault(fault('room_full'))).toBeNull();
  });

  it('offers what fits', () => {
    expect(offerFor(fault('replaced'))).toBe('take_over');
    expect(offerFor(fault('unknown_room'))).toBe('home');
    expect(offerFor(fault('protocol_version'))).toBe('reload');
  });

  it('falls back on the words of the server', () => {
    expect(faultTitle(fault('from_the_future' as FaultCode, 'It broke.'))).toBe('It broke.');
  });
});

describe('addresses', () => {
  it('knows the pages', () => {
    expect(routeOf('/')).toEqual({ page: 'home' });
    expect(routeOf('/r/K7QX')).toEqual({ page: 'room', code: 'K7QX' });
    expect(routeOf('/r/')).toEqual({ page: 'nowhere' });
    expect(routeOf('/r/%E0%A4%A')).toEqual({ page: 'nowhere' });
  });

  it('takes a code, a path or a link where a code is asked for', () => {
    for (const input of [' K7QX ', 'k7 qx', '/r/K7QX', '10.0.0.2/r/k7qx', 'http://[::1]:8080/r/K7QX?x=1']) {
      expect(codeFrom(input)).toBe('K7QX');
    }
  });
});

describe('a tried sentence', () => {
  it('keeps the answers of earlier rounds while the sentence stays', () => {
    const first = answered(ask(null, 'fine'), 1, { round: 0, probabilities: [0.5, 0.5] });
    const second = answered(ask(first, 'fine'), 2, { round: 1, probabilities: [0.2, 0.8] });
    expect(second?.answers.map(({ round }) => round)).toEqual([0, 1]);
    expect(ask(second, 'other').answers).toEqual([]);
  });

  it('drops an answer to an older question', () => {
    const asked = ask(ask(null, 'one'), 'two');
    expect(answered(asked, 1, { round: 0, probabilities: [1, 0] })).toBe(asked);
  });
});

describe('names', () => {
  it('are made of two words for every random number', () => {
    for (const share of [0, 0.5, 0.999999]) {
      expect(friendlyName(() => share)).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
    }
  });
});
