"""The encoder and ONNX Runtime in one run, on the same shapes, with the ratios.

    python benches/encoder_peer.py MODEL_DIR [--rounds 3]

From the repository root, with numpy, onnx, onnxruntime and tokenizers installed. MODEL_DIR is models/all-MiniLM-L6-v2.
Runs `cargo bench --bench encoder` and the graph of ../shared/peers/minilm_onnx.py (float32, on as many threads) in turn,
several times, and compares the medians over the rounds of each round's least and median time. Then the prompts a second
of banking77's test set on two threads, each engine at the best of its batch sizes.
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


def bench(*arguments: str) -> list:
    command = ["cargo", "bench", "--bench", "encoder", "--", *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def ours() -> dict:
    keys = ("engine", "threads", "batch", "tokens")
    return {tuple(row[key] for key in keys): (row["least_ms"], row["median_ms"]) for row in bench()}


def peer(encoders, shapes) -> dict:
    times = {}
    for threads, batch, tokens in shapes:
        encoder = encoders[threads]
        ids = (1000 + np.arange(batch * tokens) % 20000).reshape(batch, tokens).astype(np.int64)
        mask = np.ones_like(ids)
        taken, begun = [], time.perf_counter()
        while len(taken) < 10 or (len(taken) < 300 and time.perf_counter() - begun < 1.5):
            start = time.perf_counter()
            encoder.forward(ids, mask).mean(1)
            taken.append((time.perf_counter() - start) * 1e3)
        times[("onnxruntime", threads, batch, tokens)] = (min(taken), statistics.median(taken))
    return times


def peer_throughput(encoder, texts) -> dict:
    """Prompts a second by batch size, sorted by length, without tokenising, as on our side."""
    ids = sorted((e.ids for e in encoder.tokenizer.encode_batch(texts)), key=len)
    rates = {}
    for size in (1, 4, 8, 16, 32, 64):
        start = time.perf_counter()
        for at in range(0, len(ids), size):
            rows = ids[at : at + size]
            padded, mask = (np.zeros((len(rows), len(rows[-1])), np.int64) for _ in range(2))
            for row, tokens in enumerate(rows):
                padded[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
            (encoder.forward(padded, mask) * mask[..., None]).sum(1)
        rates[size] = len(ids) / (time.perf_counter() - start)
    return rates


def compare_throughput(encoder, rounds: int) -> None:
    path = os.path.join(PEERS, "..", "data", "banking77", "test.jsonl")
    if not os.path.exists(path):
        print(f"skipped: {path} is absent")
        return
    texts = [json.loads(line)["text"] for line in open(path)]
    ratios = []
    for _ in range(rounds):
        own = {row["batch_tokens"]: row["prompts_per_second"] for row in bench("--throughput")}
        other = peer_throughput(encoder, texts)
        ratios.append(max(own.values()) / max(other.values()))
        for name, rates in (("int8, by tokens of a batch", own), ("onnxruntime, by prompts", other)):
            print(f"{name}: " + ", ".join(f"{size}: {rate:.0f}/s" for size, rate in rates.items()))
    print(f"banking77 on 2 threads: {statistics.median(ratios):.2f} times as many a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not os.path.isdir(PEERS):
        sys.exit(f"skipped: {PEERS} is absent")
    sys.path.insert(0, PEERS)
    from minilm_onnx import Encoder

    encoders = {threads: Encoder(args.model_dir, threads=threads) for threads in (1, 2)}
    rounds = []
    for _ in range(args.rounds):
        found = ours()
        found |= peer(encoders, sorted({key[1:] for key in found}))
        rounds.append(found)
    print("engine       threads batch tokens   least ms  median ms   times as fast as onnxruntime (least, median)")
    for key in sorted(rounds[0], key=lambda key: (*key[1:], key[0])):
        least, median = (statistics.median(found[key][at] for found in rounds) for at in (0, 1))
        other = ("onnxruntime", *key[1:])
        ratios = [statistics.median(found[other][at] / found[key][at] for found in rounds) for at in (0, 1)]
        print(f"{key[0]:12} {key[1]:7} {key[2]:5} {key[3]:6} {least:10.3f} {median:10.3f}   {ratios[0]:.2f} {ratios[1]:.2f}")
    compare_throughput(encoders[2], args.rounds)


if __name__ == "__main__":
    main()
