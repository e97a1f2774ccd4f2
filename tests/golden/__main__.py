"""`python -m golden models|strings`: makes the files that the Rust tests compare with."""

import argparse
from pathlib import Path

import torch

HERE = Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(prog="python -m golden", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    models = steps.add_parser("models", help="models, adapters and numbers")
    models.add_argument("names", nargs="*", help="of these architectures only")
    steps.add_parser("strings", help="odd strings, and their ids by every tokenizer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if arguments.step == "models":
        from . import files
        files.write_models(HERE / "models", arguments.names)
    else:
        from . import strings
        strings.write(HERE, HERE.parents[1] / "models" / "default")


main()
