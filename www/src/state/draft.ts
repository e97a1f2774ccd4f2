// The form for a new room: what is typed, and the settings that it means.

import type { Corpus } from '../api';
import type { Calibration } from '../generated/Calibration';
import type { Deal } from '../generated/Deal';
import type { Growth } from '../generated/Growth';
import type { Label } from '../generated/Label';
import type { LabelKind } from '../generated/LabelKind';
import type { LoraTarget } from '../generated/LoraTarget';
import type { LoraScaling } from '../generated/LoraScaling';
import type { LoraSettings } from '../generated/LoraSettings';
import type { RoomSettings } from '../generated/RoomSettings';
import type { Texts } from '../generated/Texts';
import type { Truncate } from '../generated/Truncate';
import { decimal } from '../text/format';
import { amountsOf, compressionOf, dealtBy, federationOf, ruleOf, type FederationDraft } from './federation';
import type { FieldFault } from '../text/faults';

/** Stands for "everyone brings their own" where the form names a corpus. */
export const OWN = '';

/** What the form holds, as typed. */
export type Draft = {
  title: string;
  /** The base model's name. */
  model: string;
  /** A corpus's name, or `OWN`. */
  corpus: string;
  gold: string;
  unlabelled: string;
  /** For own texts: one label a line, `name: word, word`. */
  labels: string;
  /** One pattern a line. */
  patterns: string;
  truncate: Truncate;
  calibration: Calibration;
  rounds: string;
  needed: string;
  deadline: string;
  start: RoomSettings['round']['start'];
  /** Whether a round waits for every tab, or ends with so many updates while the others go on. */
  waits: 'all' | 'some';
  /** Updates that end a round that does not wait. */
  goal: string;
  /** Most rounds that an update may be behind. */
  staleness: string;
  growth: Growth['by'];
  speed: string;
  /** Whether a guess keeps the probabilities of all labels. */
  kind: LabelKind;
  learningRate: string;
  /** The learning rate in percent of the round's before; empty for what suits the task. */
  roundDecay: string;
  epochs: string;
  rank: string;
  /** The parts of each layer that LoRA adapts; at least one. */
  targets: LoraTarget[];
  /** Layers that LoRA adapts, from the top; empty for all. */
  topLayers: string;
  scaling: LoraScaling;
  dropout: string;
} & FederationDraft;

const FALLBACK_DEAL: Deal = {
  gold: 8,
  unlabelled: 40,
  clients: 0,
  partition: { by: 'iid' },
  sizes: { by: 'equal' },
  gold_placement: { by: 'balanced' },
};
/** Numbers that need not be whole. */
const FRACTIONS = [
  'training.learning_rate',
  'training.round_decay',
  'soft_labels.growth',
  'lora.dropout',
];
/** A pace that suits a class, for rounds that do not wait. */
const USUAL_PACE = { goal: '2', staleness: '10' };
const SPEEDS = { fraction: '25', factor: '2', off: '' };

function dealOf(texts: Texts): Deal {
  return texts.from === 'corpus' ? texts.deal : FALLBACK_DEAL;
}

/** The form filled with the server's defaults. */
export function draftOf(settings: RoomSettings): Draft {
  const { texts, round, training, lora, soft_labels: soft } = settings;
  const deal = dealOf(texts);
  return {
    title: settings.title,
    model: settings.model,
    corpus: texts.from === 'corpus' ? texts.corpus : OWN,
    gold: String(deal.gold),
    unlabelled: String(deal.unlabelled),
    labels: settings.task.labels.map(({ name, words }) => `${name}: ${words.join(', ')}`).join('\n'),
    patterns: settings.task.patterns.join('\n'),
    truncate: settings.task.truncate,
    calibration: settings.task.calibration,
    rounds: String(round.rounds),
    needed: String('count' in round.quorum ? round.quorum.count : round.minimum),
    deadline: String(round.deadline_seconds),
    start: round.start,
    ...pacedBy(round),
    growth: soft.growth.by,
    speed: speedOf(soft.growth),
    kind: soft.kind,
    learningRate: decimal(training.learning_rate),
    roundDecay: training.round_decay === null ? '' : decimal(training.round_decay * 100),
    epochs: String(training.epochs),
    rank: String(lora.rank),
    targets: lora.targets,
    topLayers: lora.top_layers === null ? '' : String(lora.top_layers),
    scaling: lora.scaling,
    dropout: decimal(lora.dropout * 100),
    ...federationOf(deal, settings),
  };
}

/** A speed that suits another way of growing. */
export function usualSpeed(growth: Growth['by']): string {
  return SPEEDS[growth];
}

export type Reading =
  | { ok: true; settings: RoomSettings }
  | { ok: false; fault: FieldFault };

/** The settings that the form means; whether they are in range is for the server to say. */
export function read(draft: Draft, defaults: RoomSettings, corpora: Corpus[]): Reading {
  const numbers: [string, string][] = [
    ['texts.deal.gold', draft.gold],
    ['texts.deal.unlabelled', draft.unlabelled],
    ['round.rounds', draft.rounds],
    ['round.quorum', draft.needed],
    ['round.deadline_seconds', draft.deadline],
    ['training.learning_rate', draft.learningRate],
    ['training.epochs', draft.epochs],
    ['lora.rank', draft.rank],
    ['lora.dropout', draft.dropout],
  ];
  if (draft.waits === 'some') {
    numbers.push(['round.goal', draft.goal], ['round.mode.max_staleness', draft.staleness]);
  }
  if (draft.topLayers.trim() !== '') numbers.push(['lora.top_layers', draft.topLayers]);
  if (draft.roundDecay.trim() !== '') numbers.push(['training.round_decay', draft.roundDecay]);
  if (draft.growth !== 'off') numbers.push(['soft_labels.growth', draft.speed]);
  const amounts = amountsOf(draft, draft.corpus !== OWN);
  const faults = [
    ...numbers.map(([field, text]) => numberFault(field, text, !FRACTIONS.includes(field))),
    ...amounts.map(([field, text, whole]) => numberFault(field, text, whole)),
  ];
  const fault = faults.find((found) => found !== null);
  if (fault) return { ok: false, fault };
  if (draft.title.trim() === '') {
    return { ok: false, fault: { field: 'title', words: 'Give the room a title.' } };
  }
  if (draft.targets.length === 0) {
    return { ok: false, fault: { field: 'lora.targets', words: 'Choose at least one part.' } };
  }
  return { ok: true, settings: settingsOf(draft, defaults, corpora) };
}

function settingsOf(draft: Draft, defaults: RoomSettings, corpora: Corpus[]): RoomSettings {
  const needed = Number(draft.needed);
  const rank = Number(draft.rank);
  const corpus = corpora.find(({ name }) => name === draft.corpus);
  const deal = dealOf(defaults.texts);
  const { calibration, truncate } = draft;
  const own = { ...defaults.task, patterns: linesOf(draft.patterns), labels: labelsOf(draft.labels) };
  const task = draft.corpus === OWN ? own : (corpus?.task ?? defaults.task);
  const texts: Texts =
    draft.corpus === OWN
      ? { from: 'own' }
      : {
          from: 'corpus',
          corpus: draft.corpus,
          deal: {
            ...deal,
            ...dealtBy(draft, deal),
            gold: Number(draft.gold),
            unlabelled: Number(draft.unlabelled),
          },
        };
  return {
    ...defaults,
    title: draft.title.trim(),
    model: draft.model,
    task: { ...task, calibration, truncate },
    texts,
    lora: {
      ...defaults.lora,
      rank,
      targets: draft.targets,
      top_layers: draft.topLayers.trim() === '' ? null : Number(draft.topLayers),
      alpha: alphaOf(draft.scaling, rank, defaults.lora),
      scaling: draft.scaling,
      dropout: Number(draft.dropout) / 100,
    },
    training: {
      ...defaults.training,
      learning_rate: Number(draft.learningRate),
      round_decay: draft.roundDecay.trim() === '' ? null : Number(draft.roundDecay) / 100,
      epochs: Number(draft.epochs),
    },
    soft_labels: { ...defaults.soft_labels, growth: growthOf(draft), kind: draft.kind },
    aggregation: { ...defaults.aggregation, rule: ruleOf(draft) },
    compression: compressionOf(draft),
    round: {
      ...defaults.round,
      ...paceOf(draft, defaults),
      start: draft.start,
      quorum: { count: needed },
      minimum: Math.min(defaults.round.minimum, Math.max(1, needed)),
      deadline_seconds: Number(draft.deadline),
      rounds: Number(draft.rounds),
    },
  };
}

/**
 * Alpha for another rank: the standard scale alpha / rank stays, so that no other learning rate is
 * needed; a rank-stabilised scale is meant to change with the rank, so there alpha stays.
 */
function alphaOf(scaling: LoraScaling, rank: number, usual: LoraSettings): number {
  return scaling === 'standard' ? (usual.alpha / usual.rank) * rank : usual.alpha;
}

/** `positive: great, good` on each line. */
export function labelsOf(text: string): Label[] {
  return linesOf(text).map((line) => {
    const [name = '', words = ''] = line.split(/:(.*)/s);
    const list = words.split(',').map((word) => word.trim());
    return { name: name.trim(), aliases: [], words: list.filter((word) => word !== '') };
  });
}

function linesOf(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '');
}

function pacedBy({ mode, goal }: RoomSettings['round']): Pick<Draft, 'waits' | 'goal' | 'staleness'> {
  if (mode === 'synchronous') return { waits: 'all', ...USUAL_PACE };
  return { waits: 'some', goal: String(goal), staleness: String(mode.asynchronous.max_staleness) };
}

function paceOf({ waits, goal, staleness }: Draft, { round }: RoomSettings): Pick<RoomSettings['round'], 'mode' | 'goal'> {
  if (waits === 'some') {
    return { mode: { asynchronous: { max_staleness: Number(staleness) } }, goal: Number(goal) };
  }
  // A goal that the defaults have for rounds that do not wait is none for those that do.
  return { mode: 'synchronous', goal: round.mode === 'synchronous' ? round.goal : 0 };
}

function growthOf({ growth, speed }: Draft): Growth {
  if (growth === 'fraction') return { by: 'fraction', per_round: Number(speed) / 100 };
  if (growth === 'factor') return { by: 'factor', factor: Number(speed) };
  return { by: 'off' };
}

function speedOf(growth: Growth): string {
  if (growth.by === 'fraction') return decimal(growth.per_round * 100);
  return growth.by === 'factor' ? decimal(growth.factor) : '';
}

function numberFault(field: string, text: string, whole: boolean): FieldFault | null {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) return { field, words: 'Enter a number.' };
  if (whole && (!Number.isInteger(value) || value < 0)) {
    return { field, words: 'Enter a whole number, 0 or more.' };
  }
  return null;
}
