import { describe, expect, it } from 'vitest';
import { draftOf, labelsOf, OWN, read, type Draft } from '../src/state/draft';
import { settings } from './samples';

const news = { ...settings.task, name: 'News topics' };
const corpora = [
  { name: 'reviews', title: 'Short reviews', task: settings.task, train: 900, test: 300 },
  { name: 'news', title: 'News topics', task: news, train: 400, test: 160 },
];

function settingsFor(part: Partial<Draft>) {
  const reading = read({ ...draftOf(settings), ...part }, settings, corpora);
  if (!reading.ok) throw new Error(reading.fault.words);
  return reading.settings;
}

function faultFor(part: Partial<Draft>) {
  const reading = read({ ...draftOf(settings), ...part }, settings, corpora);
  return reading.ok ? null : reading.fault;
}

describe('the form for a room', () => {
  it('gives the defaults back when nothing is changed', () => {
    expect(settingsFor({})).toEqual(settings);
  });

  it('shows a rate without the digits that single precision adds', () => {
    const training = { ...settings.training, learning_rate: 0.0010000000474974513 };
    expect(draftOf({ ...settings, training }).learningRate).toBe('0.001');
  });

  it('takes the task of the chosen corpus', () => {
    expect(settingsFor({ corpus: 'news' }).task).toEqual(news);
  });

  it('takes labels and patterns where everyone brings their own texts', () => {
    const patterns = ' {mask}: {text}\n\n{text} it was {mask} .\n';
    const own = settingsFor({ corpus: OWN, labels: 'spam: junk, ads\nham: fine', patterns });
    expect(own.texts).toEqual({ from: 'own' });
    expect(own.task.patterns).toEqual(['{mask}: {text}', '{text} it was {mask} .']);
    expect(own.task.labels).toEqual([
      { name: 'spam', aliases: [], words: ['junk', 'ads'] },
      { name: 'ham', aliases: [], words: ['fine'] },
    ]);
  });

  it('takes any parts of a layer for LoRA, but not none', () => {
    const targets: Draft['targets'] = ['key', 'feed_forward_out'];
    expect(settingsFor({ targets }).lora.targets).toEqual(targets);
    expect(faultFor({ targets: [] })?.field).toBe('lora.targets');
  });

  it('takes calibration and truncation with any texts', () => {
    const chosen = { calibration: 'unlabelled', truncate: 'start' } as const;
    expect(settingsFor({ corpus: 'news', ...chosen }).task).toEqual({ ...news, ...chosen });
    expect(settingsFor({ corpus: OWN, ...chosen }).task).toMatchObject(chosen);
  });

  it('keeps the scale of LoRA at another rank', () => {
    expect(settingsFor({ rank: '4' }).lora).toMatchObject({ rank: 4, alpha: 8 });
  });

  it('lets a rank-stabilised scale change with the rank', () => {
    const lora = settingsFor({ rank: '4', scaling: 'rank_stabilised', dropout: '12.5' }).lora;
    expect(lora).toMatchObject({ rank: 4, alpha: 16, scaling: 'rank_stabilised', dropout: 0.125 });
  });

  it('reads the growth of the soft labels', () => {
    expect(settingsFor({ growth: 'off', speed: '' }).soft_labels.growth).toEqual({ by: 'off' });
    const factor = settingsFor({ growth: 'factor', speed: '1.5' });
    expect(factor.soft_labels.growth).toEqual({ by: 'factor', factor: 1.5 });
    const share = settingsFor({ growth: 'fraction', speed: '50' });
    expect(share.soft_labels.growth).toEqual({ by: 'fraction', per_round: 0.5 });
  });

  it('names the field that holds no number', () => {
    expect(faultFor({ rounds: '' })?.field).toBe('round.rounds');
    expect(faultFor({ epochs: '1.5' })?.field).toBe('training.epochs');
    expect(faultFor({ learningRate: 'fast' })?.field).toBe('training.learning_rate');
    expect(faultFor({ growth: 'factor', speed: '' })?.field).toBe('soft_labels.growth');
    expect(faultFor({ growth: 'off', speed: '' })).toBeNull();
    expect(faultFor({ title: '  ' })?.field).toBe('title');
  });
});

describe('labels as typed', () => {
  it('forgives empty lines and stray commas', () => {
    expect(labelsOf('\n good : great ,, fine\n\n')).toEqual([
      { name: 'good', aliases: [], words: ['great', 'fine'] },
    ]);
  });
});
