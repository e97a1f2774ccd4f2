"""`python -m pretrain STEP --work DIR …`: the steps, in the order in which they are run."""

import argparse
from pathlib import Path

from . import corpus, embeddings, evaluation, export, leanings, mixing, training


def main():
    parser = argparse.ArgumentParser(prog="python -m pretrain", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)

    def step(name, summary):
        sub = steps.add_parser(name, help=summary, description=summary)
        sub.add_argument("--work", type=Path, required=True, help="where intermediate files lie")
        return sub

    data = step("data", "train the tokenizer and turn the texts into token ids")
    data.add_argument("--data", type=Path, required=True, help="where the texts lie")

    vectors = step("embeddings", "word vectors from co-occurrences, the start of training")
    vectors.add_argument("--seed", type=int, default=1)

    judge = step("leanings", "judge each review by what authors say of theirs, and each sentence")
    judge.add_argument("--model", type=Path, help="ask this exported model about snippets and Yelp's reviews too")

    train = step("train", "train the masked language model, or go on where it stopped")
    defaults = training.Settings()
    train.add_argument("--steps", type=int, default=defaults.steps, help="%(default)s")
    train.add_argument("--seed", type=int, default=defaults.seed, help="%(default)s")
    train.add_argument("--peak", type=float, default=defaults.peak, help="learning rate, %(default)s")
    train.add_argument("--decay", type=float, default=defaults.decay,
                       help="last share of the steps in which the rate falls, %(default)s")
    train.add_argument("--precision", choices=["bf16", "f32"], default=defaults.precision,
                       help="%(default)s")
    train.add_argument("--threads", type=int, default=defaults.threads, help="%(default)s")
    train.add_argument("--from", dest="start_from", type=Path, metavar="CHECKPOINT",
                       help="begin with this checkpoint, such as a stable.pt, or this exported model, "
                            "if there is no own one")

    out = step("export", "write the last checkpoint as a Hugging Face directory")
    out.add_argument("--out", type=Path, required=True)

    both = steps.add_parser("mix", help="the mean of two exported models' weights")
    both.add_argument("--models", type=Path, nargs=2, required=True, metavar=("FIRST", "SECOND"))
    both.add_argument("--share", type=float, default=0.5, help="of the second, %(default)s")
    both.add_argument("--out", type=Path, required=True)

    check = steps.add_parser("evaluate", help="zero-shot accuracy of an exported model, as JSON lines")
    check.add_argument("--model", type=Path, required=True)
    check.add_argument("--data", type=Path, required=True)
    check.add_argument("--sample", type=int, default=1000, help="texts per set, %(default)s")
    check.add_argument("--max-tokens", type=int, default=128, help="%(default)s")
    check.add_argument("--seed", type=int, default=1)
    check.add_argument("--threads", type=int, default=2)

    args = parser.parse_args()
    if args.step == "data":
        args.work.mkdir(parents=True, exist_ok=True)
        corpus.prepare(args.data, args.work)
    elif args.step == "embeddings":
        embeddings.make(args.work, args.seed)
    elif args.step == "leanings":
        leanings.make(args.work, args.model)
    elif args.step == "train":
        settings = training.Settings(steps=args.steps, seed=args.seed, peak=args.peak,
                                     decay=args.decay, precision=args.precision,
                                     threads=args.threads)
        training.train(args.work, settings, args.start_from)
    elif args.step == "export":
        export.export(args.work, args.out)
    elif args.step == "mix":
        mixing.mix(*args.models, args.share, args.out)
    elif args.step == "evaluate":
        evaluation.evaluate(args)


main()
