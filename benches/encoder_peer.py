"""The encoder and ONNX Runtime in one run, on the same shapes, with the ratios.

    python benches/encoder_peer.py MODEL_DIR [--rounds 3]

From the repository root, with numpy, onnx, onnxruntime and tokenizers installed. MODEL_DIR is models/all-MiniLM-L6-v2.
Runs `cargo bench --bench encoder` and the graph of ../shared/peers/minilm_onnx.py (float32, one thread) in turn,
several times, and compares the medians over the rounds of each round's least and median time.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "peers")


def ours() -> dict:
    printed = subprocess.run(["cargo", "bench", "--bench", "encoder"], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return {(row["engine"], row["batch"], row["tokens"]): (row["least_ms"], row["median_ms"]) for row in rows}


def peer(encoder, shapes) -> dict:
    times = {}
    for batch, tokens in shapes:
        ids = (1000 + np.arange(batch * tokens) % 20000).reshape(batch, tokens).astype(np.int64)
        mask = np.ones_like(ids)
        taken, begun = [], time.perf_counter()
        while len(taken) < 10 or (len(taken) < 300 and time.perf_counter() - begun < 1.5):
            start = time.perf_counter()
            encoder.forward(ids, mask).mean(1)
            taken.append((time.perf_counter() - start) * 1e3)
        times[("onnxruntime", batch, tokens)] = (min(taken), statistics.median(taken))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not os.path.isdir(PEERS):
        sys.exit(f"skipped: {PEERS} is absent")
    sys.path.insert(0, PEERS)
    from minilm_onnx import Encoder

    encoder = Encoder(args.model_dir, threads=1)
    rounds = []
    for _ in range(args.rounds):
        found = ours()
        found |= peer(encoder, sorted({key[1:] for key in found}))
        rounds.append(found)
    print("engine       batch tokens   least ms  median ms   times as fast as onnxruntime (least, median)")
    for key in sorted(rounds[0], key=lambda key: (key[1], key[2], key[0])):
        least, median = (statistics.median(found[key][at] for found in rounds) for at in (0, 1))
        other = ("onnxruntime", *key[1:])
        ratios = [statistics.median(found[other][at] / found[key][at] for found in rounds) for at in (0, 1)]
        print(f"{key[0]:12} {key[1]:5} {key[2]:6} {least:10.3f} {median:10.3f}   {ratios[0]:.2f} {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
