// One sentence put to the common model, and what each round's model answered.

export type Answer = { round: number; probabilities: number[] };

export type Trial = {
  /** Names the newest question; older answers are dropped. */
  id: number;
  text: string;
  waiting: boolean;
  /** By round, oldest first. */
  answers: Answer[];
};

/** A question about `text`; the answers of earlier rounds stay while the sentence is the same. */
export function ask(trial: Trial | null, text: string): Trial {
  const id = (trial?.id ?? 0) + 1;
  const answers = trial?.text === text ? trial.answers : [];
  return { id, text, waiting: true, answers };
}

/** The trial with the answer of the model of `round`. */
export function answered(trial: Trial | null, id: number, answer: Answer): Trial | null {
  if (!trial || trial.id !== id) return trial;
  const others = trial.answers.filter(({ round }) => round !== answer.round);
  const answers = [...others, answer].sort((a, b) => a.round - b.round);
  return { ...trial, waiting: false, answers };
}
