#!/usr/bin/env python3
"""How the service bears load, measured with `semroute bench` on this machine; run by hand.

    python3 tests/load/run.py [--prompts FILE] [--slo 25ms] [--seconds 60] [--server ADDRESS --pid PID]

Starts `semroute serve` on a free port with a store of its own, or takes the server that it is told of. Then:

1. closed loop, novel prompts: the peak of the goodput;
2. --find-rate: the highest rate, open loop, with a p99 below --slo and without a failure;
3. 70 % of that rate for --seconds, open loop;
4. 200 % of that rate for --seconds: goodput against the peak, the slowest refusal, the server's memory before,
   at its greatest and after;
5. closed loop, repeated prompts only.

Client and server share the machine. Prints one JSON object; exits with 1 if an expectation is not met, unless
--no-expect. `--prompts`: JSONL with `text`, also as .gz; without, the reference prompts, each with a mark.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

REFUSALS = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


class Server:
    """A `semroute serve` of our own, or one that runs already."""

    def __init__(self, args, root):
        self.process = None
        self.address, self.pid = args.server, args.pid
        if self.address:
            return
        config = root / "semroute.toml"
        config.write_text(
            f'data_dir = "{root}/data"\nmodels_dir = "{args.models}"\nreference_prompts_dir = "{args.references}"\n'
            + 'server.listen = "127.0.0.1:0"\n'
        )
        command = [args.binary, "--config", str(config), "serve"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root)
        self.pid = self.process.pid
        log = []
        for line in self.process.stderr:
            log.append(line)
            found = re.match(r"Listening on (\S+)", line)
            if found:
                self.address = found.group(1)
                break
        else:
            sys.exit("the server did not start:\n" + "".join(log))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def memory_mib(self):
        """What it holds now, and the most it held since it started; None where there is no /proc."""
        try:
            status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        kib = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.M))
        return {"now": int(kib["VmRSS"]) // 1024, "peak": int(kib["VmHWM"]) // 1024} if kib else None

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def unpacked(path, root):
    if not path or not path.endswith(".gz"):
        return path
    plain = root / "prompts.jsonl"
    with gzip.open(path) as packed, open(plain, "wb") as out:
        shutil.copyfileobj(packed, out)
    return str(plain)


class Bench:
    def __init__(self, args, server, prompts):
        self.fixed = [args.binary, "bench", "--json", "--server", server.address, "--warmup", args.warmup]
        self.next = 0
        if prompts:
            self.fixed += ["--prompts", prompts]
            # Past the file's first pass every prompt carries a mark: no phase has shorter texts than another.
            with open(prompts, "rb") as lines:
                self.next = sum(1 for _ in lines)

    def run(self, title, *args):
        """A run's report. Each begins where the last one ended: prompts that the server knows are no news."""
        print(f"== {title}", file=sys.stderr, flush=True)
        command = [*self.fixed, "--skip", str(self.next), *map(str, args)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        try:
            report = json.loads(done.stdout)
        except json.JSONDecodeError:
            sys.exit(f"{' '.join(command)} ended with {done.returncode} and no report")
        self.next = report["next"] if "steps" in report else report["prompts"]["next"]
        for warning in report.get("warnings", []):
            print(f"WARNING: {warning}", file=sys.stderr)
        return report


def brief(report):
    """What is told of a run."""
    return {
        "seconds": report["profile"]["seconds"],
        "requests": report["requests"],
        "throughput": report["throughput"],
        "latency_ms": report["latency_ms"],
        "errors": [
            {"code": error["code"], "count": error["count"], "service_ms": error["service_ms"]}
            for error in report["errors"]
        ],
        "stages": {stage["stage"]: stage["share"] for stage in report["stages"]},
        "mean_tokens": report["prompts"]["mean_tokens"],
        "truncated_share": report["prompts"]["truncated_share"],
        "lag_ms": report["generator"]["lag_ms"],
        "warnings": report["warnings"],
    }


def slowest_refusal_ms(report):
    times = [error["service_ms"] for error in report["errors"] if error["code"] in REFUSALS]
    return {"p99": max(at["p99"] for at in times), "max": max(at["max"] for at in times)} if times else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/semroute")
    parser.add_argument("--models", default="models")
    parser.add_argument("--references", default="reference-prompts")
    parser.add_argument("--prompts")
    parser.add_argument("--slo", default="25ms")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--step", type=int, default=10, help="seconds of a closed loop, and of a step of the search")
    parser.add_argument("--warmup", default="2s")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--timeout", default="1s", help="deadline of each request under overload")
    parser.add_argument("--repeated-concurrency", type=int, default=64)
    parser.add_argument("--refusal-ms", type=float, default=5.0, help="expected: no refusal takes longer")
    parser.add_argument("--goodput-share", type=float, default=0.9, help="expected under overload, of the peak")
    parser.add_argument("--memory-mib", type=int, default=32, help="expected: overload adds no more than this")
    parser.add_argument("--novel-rate", type=float, help="expected: sustained rate of novel prompts")
    parser.add_argument("--repeated-rate", type=float, help="expected: rate of repeated prompts, closed loop")
    parser.add_argument("--no-expect", action="store_true")
    parser.add_argument("--server")
    parser.add_argument("--pid", type=int)
    args = parser.parse_args()
    for name in ("binary", "models", "references"):
        setattr(args, name, str(pathlib.Path(getattr(args, name)).resolve()))

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        server = Server(args, root)
        try:
            found = measure(args, server, Bench(args, server, unpacked(args.prompts, root)))
        finally:
            server.stop()
    print(json.dumps(found, indent=1))
    failed = [name for name, met in found["expectations"].items() if not met]
    if failed and not args.no_expect:
        sys.exit("not met: " + ", ".join(failed))


def measure(args, server, bench):
    step, long = f"{args.step}s", f"{args.seconds}s"
    peak = bench.run("closed loop: the peak", "--concurrency", args.concurrency, "--duration", step)
    search = bench.run("the sustained rate", "--find-rate", "--slo", args.slo, "--duration", step)
    rate = search["sustained_rate_per_second"]
    found = {
        "machine": {"cores": os.cpu_count(), "at": time.strftime("%Y-%m-%d %H:%M")},
        "slo": args.slo,
        "peak": brief(peak),
        "sustained_rate_per_second": rate,
        "search": search["steps"],
        "expectations": {},
    }
    expect = found["expectations"]
    # A server that sustains no rate at this bound is overloaded by twice its peak.
    base = rate or peak["throughput"]["goodput_per_second"]
    if rate:
        at_70 = bench.run("70 % of it", "--rate", rate * 0.7, "--duration", long)
        found["at_70_percent"] = brief(at_70)
        expect["p99 at 70 % below the bound"] = at_70["latency_ms"]["p99"] <= search["slo_ms"]
        expect["no failures at 70 %"] = at_70["requests"]["failed"] == 0
    if args.novel_rate:
        expect["sustained rate"] = (rate or 0) >= args.novel_rate

    before = server.memory_mib()
    over = bench.run("200 % of it", "--rate", base * 2, "--duration", long, "--timeout", args.timeout)
    share = over["throughput"]["goodput_per_second"] / max(peak["throughput"]["goodput_per_second"], 1e-9)
    refusal = slowest_refusal_ms(over)
    # What the last requests held is given back by then.
    time.sleep(2)
    after = server.memory_mib()
    found["overload"] = {
        **brief(over),
        "goodput_share_of_peak": round(share, 3),
        "slowest_refusal_ms": refusal,
        "memory_mib": {"before": before, "after": after},
    }
    expect["goodput under overload"] = share >= args.goodput_share
    expect["refusals under overload"] = refusal is not None and refusal["max"] < args.refusal_ms
    if before and after:
        expect["memory under overload"] = after["now"] - before["now"] <= args.memory_mib

    repeated = ["--repeats", 1, "--concurrency", args.repeated_concurrency, "--duration", step]
    found["repeated"] = brief(bench.run("closed loop: repeated prompts", *repeated))
    if args.repeated_rate:
        expect["repeated prompts"] = found["repeated"]["throughput"]["goodput_per_second"] >= args.repeated_rate
    return found


if __name__ == "__main__":
    main()
