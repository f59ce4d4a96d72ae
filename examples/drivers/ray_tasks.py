"""One choice by tasks on a Ray cluster (pip install ray). A task whose worker dies is started again, and goes on.

    python3 examples/drivers/ray_tasks.py 64 'part-*.npy' --keep 1% --method convex --out kept.npy

Files and output lie in a folder that all nodes see; start it there.
"""

import os
import subprocess
import sys

import ray

GLEANER = os.environ.get("GLEANER", "gleaner")


@ray.remote(num_cpus=1, max_retries=5, retry_exceptions=[ChildProcessError])
def select(words, folder):
    done = subprocess.run([GLEANER, "select", *words, "--quiet"], cwd=folder, stderr=subprocess.PIPE, text=True)
    if done.returncode == 2:  # what was asked for wrongly stays wrong
        raise ValueError(done.stderr)
    if done.returncode != 0:
        raise ChildProcessError(done.stderr)


def main():
    tasks, words = int(sys.argv[1]), sys.argv[2:]
    parts = os.path.splitext(words[words.index("--out") + 1])[0] + ".parts"
    ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    while True:
        of_task = lambda k: select.remote([*words, "--task", f"{k}/{tasks}"], os.getcwd())
        ray.get([of_task(k) for k in range(1, tasks + 1)])
        code = subprocess.run([GLEANER, "merge", parts]).returncode
        if code != 3:  # some tasks are to look once more; those that need not end at once
            sys.exit(code)


main()
