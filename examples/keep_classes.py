"""Keep the particles of good 2D classes, as RELION's Select does, without a window: what a tutorial can run.

Usage: python keep_classes.py Class2D/job004/run_it010 Select/good [CLASS...]

Writes ``particles.star`` and ``classes.png`` with the averages. Without CLASS, it keeps the classes that hold at least
half of an even share of the particles and whose estimated resolution is within a factor 1.5 of the best one: a rule for
a tutorial. What is kept is what is learnt: look at the averages, and name the classes, in a project of your own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mrcfile
import numpy as np
import starfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

root, out, *given = sys.argv[1:]
model = starfile.read(f"{root}_model.star")["model_classes"]
data = starfile.read(f"{root}_data.star")
averages = mrcfile.read(f"{root}_classes.mrcs").reshape(len(model), *mrcfile.read(f"{root}_classes.mrcs").shape[-2:])

share = model["rlnClassDistribution"].to_numpy()
resolution = model["rlnEstimatedResolution"].replace(np.inf, 1e3).to_numpy()
full = share >= 0.5 / len(model)
good = full & (resolution <= 1.5 * resolution[full].min())
kept = [int(number) for number in given] or (np.flatnonzero(good) + 1).tolist()

figure = Figure(figsize=(1.6 * len(model), 2), layout="constrained")
FigureCanvasAgg(figure)
for number, (axes, average) in enumerate(zip(figure.subplots(1, len(model)), averages, strict=True), start=1):
    axes.imshow(average, cmap="gray")
    axes.set_title(f"{number}: {100 * share[number - 1]:.0f} % {'kept' if number in kept else ''}", fontsize=8)
    axes.set_axis_off()
    print(f"class {number}: {100 * share[number - 1]:5.1f} % of the particles, {resolution[number - 1]:5.1f} Å")
figure.savefig(Path(out) / "classes.png", dpi=150)

particles = data["particles"]
chosen = particles[particles["rlnClassNumber"].isin(kept)]
starfile.write({"optics": data["optics"], "particles": chosen}, Path(out) / "particles.star")
print(f"Kept {len(chosen)} of {len(particles)} particles, in the classes {', '.join(map(str, kept))}.")
