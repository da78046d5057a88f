"""All that needs a GPU, in one command: its tests, and the tables of training, separation and arithmetic.

    python benchmarks/gpu.py            within 5 minutes on an H200; needs neither ffmpeg nor musdb nor museval nor a network

A part that this machine cannot run is named with its last lines, and the others go on.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
PARTS = {
    "tests": ["-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(HERE.parent / "tests/test_kernels.py")],
    "training": [str(HERE / "training.py"), "--device", "cuda"],
    "separation": [str(HERE / "separation.py"), "--device", "cuda"],
    "arithmetic": [str(HERE / "precision.py"), "--device", "cuda"],
}
LAST_LINES = 15


def main() -> None:
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU: nothing to measure")
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}", flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])}
    for name, command in PARTS.items():
        began = time.monotonic()
        done = subprocess.run([sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"\n## {name}, {time.monotonic() - began:.0f} s\n", flush=True)
        lines = done.stdout.splitlines()
        if done.returncode:
            print(f"not done (exit status {done.returncode}); its last lines:")
            lines = lines[-LAST_LINES:]
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
