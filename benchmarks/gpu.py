"""Everything that needs a GPU in one command: tests, and the tables of training, separation and arithmetic.

    python benchmarks/gpu.py            less than 5 minutes on an H200; needs neither ffmpeg, musdb, museval nor a network connection

If this machine cannot run a part, its last line says so, and the other parts still run.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
TESTS = [str(HERE.parent / "tests" / f"test_{name}.py") for name in ("kernels", "sequences", "training_on_gpu")]
PARTS = {
    "tests": ["-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-k", "on_a_gpu", *TESTS],
    "training": [str(HERE / "training.py"), "--device", "cuda"],
    "separation": [str(HERE / "separation.py"), "--device", "cuda"],
    "arithmetic": [str(HERE / "precision.py"), "--device", "cuda"],
}


def main() -> None:
    if not torch.cuda.is_available():
        print("PyTorch finds no GPU, so nothing is measured")
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}", flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])}
    for name, command in PARTS.items():
        print(f"\n## {name}\n", flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, *command], env=environment, stderr=subprocess.STDOUT)
        outcome = f"not done, exit status {done.returncode}" if done.returncode else "done"
        print(f"\n{name}: {outcome}, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
