#!/usr/bin/env python3
"""Search among many vectors: ours and usearch's, on the very same files, one thread, at matched recall. Run by hand.

    pip install usearch numpy
    python3 tests/scale/search.py make --rows 100000 --seeds real.npz --folder /tmp/search
    python3 tests/scale/search.py ours --folder /tmp/search          # cargo bench --bench search on the files
    python3 tests/scale/search.py usearch --folder /tmp/search
    python3 tests/scale/search.py rounds --folder /tmp/search        # both in turn, three times, and the table
    python3 tests/scale/search.py compare --folder /tmp/search       # the table again

Indexes are built once and kept in the folder. Whatever else the machine does meets both: they are timed in turn, and of
each the best round counts. --bench names a binary of benches/search to be run instead of cargo's.

How the vectors are made: --seeds holds embeddings of real texts with their labels (arrays NAME and NAME_l of an .npz
file; BANKING77 and CLINC150 train texts, say). A vector is one of them, drawn at random, plus Gaussian noise of the
covariance that real texts of one label have among themselves, scaled so that the cosine to the seed is uniform in
[0.6, 0.9], and normalised. Noise that is equal in all directions would have no near neighbours at all. The 2,000
queries are further draws. Their true ten nearest are found by comparing all. Seed 7.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import time

import numpy as np

QUERIES = 2_000
K = 10
BLOCK = 50_000


def make(args) -> None:
    seeds, within = [], []
    with np.load(args.seeds) as file:
        for name in (n for n in file.files if not n.endswith("_l") and "train" in n):
            vectors, labels = file[name], file[name + "_l"]
            seeds.append(vectors)
            for label in np.unique(labels):
                mine = vectors[labels == label]
                within.append(mine - mine.mean(0))
    seeds, within = np.concatenate(seeds), np.concatenate(within)
    shape = np.linalg.cholesky(np.cov(within.T) + 1e-9 * np.eye(within.shape[1])).astype(np.float32).T
    rng = np.random.default_rng(7)

    def draw(count):
        rows = seeds[rng.integers(len(seeds), size=count)]
        noise = rng.standard_normal((count, rows.shape[1]), dtype=np.float32) @ shape
        noise -= (noise * rows).sum(1, keepdims=True) * rows
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        cosine = rng.uniform(0.6, 0.9, (count, 1)).astype(np.float32)
        return cosine * rows + np.sqrt(1 - cosine**2) * noise

    args.folder.mkdir(parents=True, exist_ok=True)
    queries = draw(QUERIES).astype(np.float32)
    best, ids = np.full((QUERIES, K), -2, np.float32), np.zeros((QUERIES, K), np.uint32)
    with open(args.folder / "vectors.f32", "wb") as out:
        for start in range(0, args.rows, BLOCK):
            block = draw(min(BLOCK, args.rows - start)).astype(np.float32)
            out.write(block.tobytes())
            scores = queries @ block.T
            top = np.argpartition(-scores, K, axis=1)[:, :K]
            values = np.concatenate([best, np.take_along_axis(scores, top, 1)], 1)
            rows = np.concatenate([ids, (top + start).astype(np.uint32)], 1)
            order = np.argsort(-values, axis=1)[:, :K]
            best, ids = np.take_along_axis(values, order, 1), np.take_along_axis(rows, order, 1)
    queries.tofile(args.folder / "queries.f32")
    ids.tofile(args.folder / "truth.u32")
    print(json.dumps({"rows": args.rows, "mean_similarity_of_nearest": float(best[:, 0].mean()),
                      "of_tenth": float(best[:, -1].mean())}))


def usearch(args) -> None:
    from usearch.index import Index

    vectors = np.memmap(args.folder / "vectors.f32", np.float32, "r").reshape(-1, 384)
    queries = np.fromfile(args.folder / "queries.f32", np.float32).reshape(-1, 384)
    truth = np.fromfile(args.folder / "truth.u32", np.uint32).reshape(-1, K)
    for dtype in args.dtypes:
        begun = time.perf_counter()
        path = args.folder / f"usearch-{dtype}.index"
        index = Index(ndim=384, metric="cos", dtype=dtype, connectivity=16)
        if path.exists():
            index.load(str(path))
        else:
            index.add(np.arange(len(vectors)), vectors, threads=args.threads)
            index.save(str(path))
        built = time.perf_counter() - begun
        for ef in args.ef:
            index.expansion_search = ef
            found = index.search(queries, K, threads=1).keys
            recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist())])
            batch, single = [], []
            for _ in range(args.repeats):
                begun = time.perf_counter()
                index.search(queries, K, threads=1)
                batch.append((time.perf_counter() - begun) / len(queries) * 1e6)
                for query in queries:
                    begun = time.perf_counter()
                    index.search(query, K, threads=1)
                    single.append((time.perf_counter() - begun) * 1e6)
            # One call with all queries has no Python in it: its mean is what is compared. A call for each query gives
            # the spread, with some microseconds of Python in each.
            print(json.dumps({"who": f"usearch-{dtype}", "rows": len(vectors), "ef": ef, "recall_at_10": float(recall),
                              "mean_us": statistics.median(batch), "p50_us_with_python": float(np.percentile(single, 50)),
                              "p99_us_with_python": float(np.percentile(single, 99)), "build_s": round(built, 1),
                              "file_mib": os.path.getsize(path) >> 20}), flush=True)


def ours(args) -> None:
    # Built once, then read from this file.
    kept = str((args.folder / "semroute.hnsw").absolute())
    environment = os.environ | {
        "SEARCH_KEEP": kept, "SEARCH_FOLDER": str(args.folder.absolute()), "SEARCH_EF": ",".join(map(str, args.ef)),
        "RAYON_NUM_THREADS": str(args.threads), "SEARCH_REPEATS": str(args.repeats),
    }
    command = [str(args.bench.absolute())] if args.bench else ["cargo", "bench", "--bench", "search"]
    with open(args.folder / "ours.jsonl", "a") as out:
        subprocess.run(command, check=True, env=environment, stdout=out)


def rounds(args) -> None:
    for path in args.folder.glob("*.jsonl"):
        path.unlink()
    for _ in range(args.rounds):
        ours(args)
        with open(args.folder / "usearch.jsonl", "a") as out, contextlib.redirect_stdout(out):
            usearch(args)
    compare(args)


def compare(args) -> None:
    """Reads the lines that `ours` and `usearch` printed to FOLDER/*.jsonl and interpolates to one recall."""
    points = {}
    for path in sorted(args.folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            point = json.loads(line) if line.startswith("{") else {}
            if "recall_at_10" in point:
                median = point.get("p50_us") or point["p50_us_with_python"]
                times = points.setdefault(point["who"], {}).setdefault(point["ef"], {"mean": [], "p50": []})
                times["recall"] = point["recall_at_10"]
                times["mean"].append(point["mean_us"])
                times["p50"].append(median)

    def at(who, recall, what):
        curve = sorted((point["recall"], min(point[what])) for point in points[who].values())
        if not curve[0][0] <= recall <= curve[-1][0]:
            return None
        return float(np.interp(recall, *zip(*curve)))

    def told(who, recall, what):
        theirs, mine = at(who, recall, what), at("semroute", recall, what)
        ratio = f" (ours / theirs {mine / theirs:.2f})" if mine and theirs and who != "semroute" else ""
        return f"{what} {theirs:.0f} us{ratio}" if theirs else f"{what} not measured at that recall"

    # The mean of a busy machine is mostly that of others; usearch's p50 has some microseconds of Python in it.
    for recall in args.recalls:
        for who in sorted(points):
            print(f"recall@10 {recall}: {who}: {told(who, recall, 'p50')}, {told(who, recall, 'mean')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["make", "ours", "usearch", "rounds", "compare"])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/tmp/search"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seeds", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2, help="for building; searches take one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ef", type=int, nargs="+", default=[16, 32, 48, 64, 96, 128, 192, 256])
    parser.add_argument("--dtypes", nargs="+", default=["f32", "i8"])
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.93, 0.95, 0.98, 0.99])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bench", type=pathlib.Path)
    args = parser.parse_args()
    {"make": make, "usearch": usearch, "ours": ours, "rounds": rounds, "compare": compare}[args.step](args)


if __name__ == "__main__":
    main()
