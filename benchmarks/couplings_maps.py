"""The pictures of docs/couplings.md: the maps of several systems of a run side by side, as PNG with few colours.

    python benchmarks/couplings_maps.py results DAE-mir1k MSS-DAE-mir1k SF-mir1k MDL1-mir1k --out docs

Writes couplings_mir1k.png and jacobian_mir1k.png.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from madsep.couplings.figures import draw_maps

KINDS = {"nca": "couplings", "jacobian": "jacobian"}
WIDTH, MARGIN, N_COLOURS = 1568, 8, 64  # pixels, pixels, colours


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="the folder results/ of a run")
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    found = {system.removesuffix("-mir1k"): np.load(options.results / system / "couplings/couplings.npz") for system in options.systems}
    nyquist_hz = float(next(iter(found.values()))["frequencies_hz"][-1])
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in KINDS.items():
            drawn = draw_maps({system: maps[kind] for system, maps in found.items()}, nyquist_hz, "", Path(folder) / name)[-1]
            with Image.open(drawn) as opened:
                picture = opened.convert("RGB")
            picture = ImageOps.expand(picture.crop(ImageOps.invert(picture).getbbox()), MARGIN, "white")
            picture.thumbnail((WIDTH, WIDTH))
            picture.quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE).save(options.out / f"{name}_mir1k.png", optimize=True)


if __name__ == "__main__":
    main()
