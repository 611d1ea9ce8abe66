#!/usr/bin/env python3
"""Peak memory and time of `semroute reindex` on a large set, run by hand.

    python3 tests/scale/run.py [--prompts 100000] [--binary target/release/semroute] [--models models]

Embedding so many texts would take an hour and no more memory than embedding few, so their vectors are made: random
unit vectors in 500 clusters, written into the store where a killed reindex would have left them. The last 200 texts
are embedded by the job itself. Reported: the job's own report, its peak memory and its time.
"""
import argparse
import array
import json
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time

DIMENSION = 384
EMBEDDED_BY_THE_JOB = 200


def vectors(seed: int):
    """Endless unit vectors around 500 centres, as little-endian f32."""
    rng = random.Random(seed)
    centres = [[rng.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(500)]
    noise = [rng.gauss(0, 0.7) for _ in range(100_003)]
    while True:
        centre, start = rng.choice(centres), rng.randrange(100_003 - DIMENSION)
        values = [a + b for a, b in zip(centre, noise[start : start + DIMENSION])]
        norm = sum(value * value for value in values) ** 0.5
        yield array.array("f", (value / norm for value in values)).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--binary", default="target/release/semroute")
    parser.add_argument("--models", default="models")
    args = parser.parse_args()
    binary, models = pathlib.Path(args.binary).resolve(), pathlib.Path(args.models).resolve()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        config = root / "semroute.toml"
        config.write_text(f'data_dir = "{root}/data"\nmodels_dir = "{models}"\ndefault_set = "large"\n')
        with open(root / "large.jsonl", "w") as lines:
            for at in range(args.prompts):
                row = {"text": f"prompt number {at} about topic {at % 977}", "route": f"route-{at % 100}"}
                lines.write(json.dumps(row) + "\n")
        command = [str(binary), "--config", str(config), "reindex", "--files", str(root / "large.jsonl"), "--json", "--force"]
        # Takes the files in and freezes a version; ended as soon as it embeds.
        job = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in job.stderr:
            if line.startswith("Embedding"):
                break
        job.kill()
        job.wait()

        with sqlite3.connect(root / "data" / "semroute.db") as store:
            version, model = store.execute("SELECT id, model FROM versions").fetchone()
            missing = store.execute("SELECT DISTINCT text_hash FROM missing_embeddings").fetchall()
            fake = list(zip(missing[:-EMBEDDED_BY_THE_JOB], vectors(1)))
            insert = "INSERT OR REPLACE INTO embeddings (text_hash, model, vector) VALUES (?, ?, ?)"
            store.executemany(insert, ((text_hash, model, vector) for (text_hash,), vector in fake))
            done = "DELETE FROM missing_embeddings WHERE version_id = ? AND text_hash = ?"
            store.executemany(done, ((version, text_hash) for (text_hash,), _ in fake))
        store.close()
        del fake

        begun = time.monotonic()
        job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak_kib = 0
        while job.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{job.pid}/status").read_text()
            except FileNotFoundError:
                break
            peaks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
            peak_kib = max([peak_kib, *peaks])
            time.sleep(0.05)
        out = job.communicate()[0]
        if job.returncode:
            sys.exit(f"reindex failed with {job.returncode}")
        report = json.loads(out)["report"]
        print(json.dumps({"seconds": round(time.monotonic() - begun, 1), "peak_mib": peak_kib // 1024, **report}))


if __name__ == "__main__":
    main()
