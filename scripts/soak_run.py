"""Runs a server for many jobs and holds it to what a long life asks: see scripts/soak.

The server is the real one, with two workers that compute nothing; the load comes in rounds of the load
generator, which holds each to its invariant. Between rounds nothing is going on: there the server's
memory, descriptors and threads are read. The first rounds fill what is kept on purpose (results, up to
their limits); growth is counted from there.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))
from running_server import RunningServer, until  # noqa: E402

MAX_GROWTH_MB = 20
# gRPC makes and ends threads of its own as calls come and go, a few of each kind.
MAX_THREADS, MAX_DESCRIPTORS = 6, 6


class Server(RunningServer):
    """antidiffusiond with two workers that compute nothing, on free ports of the loopback."""

    def __init__(self, folder, options):
        os.environ["ANTIDIFFUSION_FAKE_STEPS"] = "3"
        os.environ["ANTIDIFFUSION_FAKE_STEP_TIME"] = options.step_time
        store = f"sqlite:{folder / 'jobs.db'}" if options.durable else ":memory:"
        super().__init__(
            folder, "--device=cpu", "--device=cpu",
            f"--worker-program={os.environ['ANTIDIFFUSION_WORKER_FAKE']}", "--max-queue-size=1000",
            "--max-kept-jobs=500", f"--job-store={store}", "--log-level=warning")

    def usage(self):
        """Resident megabytes, descriptors and threads."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        values = dict(line.split(":", 1) for line in status.splitlines())
        return {
            "resident_mb": int(values["VmRSS"].split()[0]) / 1024,
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "threads": int(values["Threads"]),
        }

    def stop(self):
        """The exit code of a drain."""
        self.channel.close()
        self.terminate()
        return self.wait()


class Killer(threading.Thread):
    """Kills a worker now and then."""

    def __init__(self, server, every):
        super().__init__(daemon=True)
        self.server, self.every, self.kills = server, every, 0
        self.stopped = threading.Event()
        self.random = random.Random(1)

    def run(self):
        while not self.stopped.wait(self.random.expovariate(1 / self.every)):
            workers = self.server.workers()
            if not workers:
                continue
            try:
                os.kill(self.random.choice(workers), signal.SIGKILL)
                self.kills += 1
            except ProcessLookupError:
                pass

    def stop(self):
        self.stopped.set()
        self.join()


def load(server, options, number, count):
    """The report of one round."""
    command = [
        os.environ["ANTIDIFFUSION_LOADGEN"], f"--server={server.address}",
        f"--metrics=http://127.0.0.1:{server.metrics_port}/metrics", f"--rate={options.rate}", f"--count={count}",
        f"--random-seed={number}", "--size=64x64", "--size=96x64", "--jobs-ratio=0.5",
        f"--cancel-ratio={options.cancel_ratio}", "--cancel-after=0.03",
        f"--slow-ratio={options.slow_ratio}", "--slow-delay=0.2", "--json", "--quiet",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"the load generator ended with {done.returncode}")
    return json.loads(done.stdout)


def settled(server, baseline):
    """The usage once the round's connections are gone and both workers are there again."""
    until(lambda: len(server.workers()) == 2, "the workers to be back")
    end = time.monotonic() + 20
    usage = server.usage()
    while baseline and time.monotonic() < end and (
            usage["descriptors"] > baseline["descriptors"] or
            usage["threads"] > baseline["threads"]):
        time.sleep(0.2)
        usage = server.usage()
    return usage


OUTCOMES = ["accepted", "succeeded", "failed", "cancelled", "expired", "refused", "abandoned",
            "lost", "unsent", "resumed"]


def run_rounds(server, options, killer):
    """Rows of counts and usage, a round each, until enough jobs were accepted; and violations."""
    rows, violations = [], []
    count = -(-options.jobs // options.rounds)
    while sum(row["accepted"] for row in rows) < options.jobs and len(rows) < 3 * options.rounds:
        report = load(server, options, len(rows) + 1, count)
        baseline = rows[options.warm_up - 1] if len(rows) >= options.warm_up else None
        row = {"round": len(rows) + 1, "seconds": round(report["seconds"], 1),
               **{name: report[name] for name in OUTCOMES}, "kills": killer.kills,
               **settled(server, baseline)}
        rows.append(row)
        violations += [f"round {row['round']}: {text}" for text in report["violations"]]
        print(" ".join(f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}"
                       for name, value in row.items()), flush=True)
    return rows, violations


def judge(rows, options):
    """What the numbers break, a sentence each."""
    if len(rows) <= options.warm_up:
        return [f"only {len(rows)} rounds: nothing to compare with"]
    first, last = rows[options.warm_up - 1], rows[-1]
    growth = last["resident_mb"] - first["resident_mb"]
    total = {name: sum(row[name] for row in rows) for name in OUTCOMES}
    print(f"{total['accepted']} jobs accepted = succeeded {total['succeeded']} + failed "
          f"{total['failed']} + cancelled {total['cancelled']} + expired {total['expired']}; "
          f"{last['kills']} workers killed")
    after = sum(row["accepted"] for row in rows[options.warm_up:])
    print(f"after the first {options.warm_up} rounds, over {after} jobs: resident memory "
          f"{first['resident_mb']:.1f} -> {last['resident_mb']:.1f} MB ({growth:+.1f}), descriptors "
          f"{first['descriptors']} -> {last['descriptors']}, threads {first['threads']} -> "
          f"{last['threads']}")
    violations = []
    if total["accepted"] < options.jobs:
        violations.append(f"only {total['accepted']} of {options.jobs} jobs were accepted")
    if total["accepted"] != sum(total[name] for name in OUTCOMES[1:5]):
        violations.append("accepted is not succeeded + failed + cancelled + expired")
    if growth >= MAX_GROWTH_MB and not options.any_memory:
        violations.append(f"memory grew by {growth:.1f} MB, allowed: under {MAX_GROWTH_MB}")
    for name, most in (("descriptors", MAX_DESCRIPTORS), ("threads", MAX_THREADS)):
        if last[name] - first[name] > most:
            violations.append(f"{last[name] - first[name]} more {name}, allowed: {most}")
    return violations


def parse():
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000, help="to be accepted; default 100000")
    parser.add_argument("--rounds", type=int, default=20, help="default 20")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before growth counts")
    parser.add_argument("--rate", type=float, default=100, help="arrivals a second; default 100")
    parser.add_argument("--cancel-ratio", type=float, default=0.15)
    parser.add_argument("--slow-ratio", type=float, default=0.02)
    parser.add_argument("--kill-every", type=float, default=20, metavar="SECONDS",
                        help="on average, between two killed workers; default 20")
    parser.add_argument("--step-time", default="3ms", help="of a job's 3 steps; default 3ms")
    parser.add_argument("--durable", action="store_true", help="with a job store on disk")
    parser.add_argument("--any-memory", action="store_true",
                        help="do not judge memory: a sanitizer keeps what was freed")
    parser.add_argument("--csv", type=Path, help="the rounds as a table")
    return parser.parse_args()


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="antidiffusion-soak-") as folder:
        server = Server(Path(folder), options)
        killer = Killer(server, options.kill_every)
        killer.start()
        try:
            rows, violations = run_rounds(server, options, killer)
            killer.stop()
            violations += judge(rows, options)
            code = server.stop()
            if code != 0:
                violations.append(f"the server ended with {code}")
                print(server.log()[-10_000:])
        finally:
            server.close()
    if options.csv:
        with open(options.csv, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    for violation in violations:
        print(f"VIOLATED: {violation}")
    print("the soak holds" if not violations else "the soak does not hold")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
