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

  it('takes any model that the server offers', () => {
    expect(settingsFor({ model: 'distilbert' })).toEqual({ ...settings, model: 'distilbert' });
    expect(draftOf({ ...settings, model: 'distilbert' }).model).toBe('distilbert');
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

  it('takes all layers for LoRA, or some from the top', () => {
    expect(settingsFor({ topLayers: ' ' }).lora.top_layers).toBeNull();
    const some = settingsFor({ topLayers: '2' });
    expect(some.lora.top_layers).toBe(2);
    expect(draftOf(some).topLayers).toBe('2');
    expect(faultFor({ topLayers: 'two' })?.field).toBe('lora.top_layers');
  });

  it('takes a learning rate that falls from round to round, or leaves that to the task', () => {
    expect(settingsFor({ roundDecay: ' ' }).training.round_decay).toBeNull();
    const falling = settingsFor({ roundDecay: '87.5' });
    expect(falling.training.round_decay).toBe(0.875);
    expect(draftOf(falling).roundDecay).toBe('87.5');
    expect(faultFor({ roundDecay: 'half' })?.field).toBe('training.round_decay');
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

  it('takes rounds that wait for all, or for some', () => {
    const { round } = settingsFor({ waits: 'some', goal: '3', staleness: '5' });
    expect(round.mode).toEqual({ asynchronous: { max_staleness: 5 } });
    expect(round.goal).toBe(3);
    expect(draftOf({ ...settings, round })).toMatchObject({ waits: 'some', goal: '3', staleness: '5' });
    expect(settingsFor({ waits: 'all', goal: 'three' }).round).toEqual(settings.round);
    expect(faultFor({ waits: 'some', goal: 'three' })?.field).toBe('round.goal');
  });

  it('reads the growth of the soft labels', () => {
    expect(settingsFor({ growth: 'off', speed: '' }).soft_labels.growth).toEqual({ by: 'off' });
    const factor = settingsFor({ growth: 'factor', speed: '1.5' });
    expect(factor.soft_labels.growth).toEqual({ by: 'factor', factor: 1.5 });
    const share = settingsFor({ growth: 'fraction', speed: '50' });
    expect(share.soft_labels.growth).toEqual({ by: 'fraction', per_round: 0.5 });
  });

  it('reads whether a guess keeps its doubts', () => {
    for (const kind of ['hard', 'soft'] as const) {
      const soft = settingsFor({ kind }).soft_labels;
      expect(soft).toEqual({ ...settings.soft_labels, kind });
      expect(draftOf({ ...settings, soft_labels: soft }).kind).toBe(kind);
    }
  });

  it('deals texts unlike among as many tabs as are named', () => {
    const unlike = settingsFor({ partition: 'label_mix', partitionAmount: '0.5', holders: '3' }).texts;
    expect(unlike).toMatchObject({ deal: { partition: { by: 'label_mix', alpha: 0.5 }, clients: 3, gold: 8 } });
    const shards = settingsFor({ partition: 'label_shards', partitionAmount: '2', holders: '4' }).texts;
    expect(shards).toMatchObject({ deal: { partition: { by: 'label_shards', per_client: 2 }, clients: 4 } });
    expect(faultFor({ partition: 'label_mix', partitionAmount: '' })?.field).toBe('texts.deal.partition.alpha');
    expect(faultFor({ partition: 'label_mix', partitionAmount: '1', holders: 'x' })?.field).toBe('texts.deal.clients');
    expect(faultFor({ corpus: OWN, partition: 'label_mix', partitionAmount: '' })).toBeNull();
  });

  it('brings updates together as chosen', () => {
    const rule = (part: Partial<Draft>) => settingsFor(part).aggregation.rule;
    expect(rule({ rule: 'median' })).toEqual({ by: 'median' });
    expect(rule({ rule: 'trimmed_mean', ruleAmount: '25' })).toEqual({ by: 'trimmed_mean', share: 0.25 });
    expect(rule({ rule: 'multi_krum', ruleAmount: '2' })).toEqual({ by: 'multi_krum', attackers: 2, chosen: 0 });
    expect(rule({ rule: 'norm_bound', ruleAmount: '0.5' })).toEqual({ by: 'norm_bound', norm: 0.5 });
    expect(faultFor({ rule: 'krum', ruleAmount: '0.5' })?.field).toBe('aggregation.rule.attackers');
  });

  it('sends updates as chosen', () => {
    expect(settingsFor({ compression: 'int8' }).compression).toEqual({ by: 'int8' });
    const largest = settingsFor({ compression: 'top_k', compressionAmount: '1' });
    expect(largest.compression).toEqual({ by: 'top_k', share: 0.01 });
  });

  it('shows the amounts of the settings that it begins with', () => {
    const rule = { by: 'trimmed_mean', share: 0.1 } as const;
    const begun = { ...settings, aggregation: { ...settings.aggregation, rule } };
    expect(draftOf(begun)).toMatchObject({ rule: 'trimmed_mean', ruleAmount: '10', compressionAmount: '' });
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
