"""Packages that only some commands need. Each is installed by an extra of madsep."""

import importlib.util

# import name: (common name, extra that installs it)
EXTRAS = {
    "torch": ("PyTorch", "train"),
    "safetensors": ("safetensors", "train"),
    "snakemake": ("Snakemake", "workflow"),
    "snakemake_executor_plugin_slurm": ("Snakemake's plugin for Slurm", "slurm"),
    "tensorboard": ("TensorBoard", "tensorboard"),
    "onnx": ("ONNX", "export"),
    "onnxscript": ("ONNX Script", "export"),
    "ducc0": ("ducc0", "fft"),
}


def is_installed(package: str) -> bool:
    """Whether a package of EXTRAS can be imported. It is not imported."""
    return importlib.util.find_spec(package) is not None


def missing(module: str, what: str = "this") -> str | None:
    """Return a message naming the extra that `what` needs if `module` belongs to a package of EXTRAS that is not installed."""
    package = module.partition(".")[0]
    if package not in EXTRAS or is_installed(package):
        return None
    title, extra = EXTRAS[package]
    return f"{what} needs {title}, which is not installed: pip install 'madsep[{extra}]'"
