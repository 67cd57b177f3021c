"""The estimate of a particle diameter as a picture: the scores at each diameter, and the average particle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from scipy.special import expit

from relion_attn_picker.inference.diameter import BOX_DIAMETERS, DIAMETERS, DiameterEstimate, ScaleEvidence
from relion_attn_picker.report.figure import make_figure, save_png


def draw_diameter(path: Path, evidence: ScaleEvidence, estimate: DiameterEstimate) -> None:
    """Write a PNG of the scores of the best candidates over the assumed diameter, and of the candidates' average."""
    figure = make_figure(9.0, 4.0)
    curve, average = figure.subplots(1, 2, width_ratios=(1.6, 1.0))
    _draw_curve(curve, evidence, estimate)
    _draw_average(average, evidence, estimate)
    save_png(figure, path)


def _draw_curve(axes: Axes, evidence: ScaleEvidence, estimate: DiameterEstimate) -> None:
    for response in evidence.responses:
        axes.plot(DIAMETERS, expit(response), color="0.8", linewidth=0.8)
    axes.plot(DIAMETERS, expit(evidence.curve), "o-", color="#4070c0", label="mean (grey: each micrograph)")
    axes.axvline(estimate.diameter, color="#c04040", label=f"{estimate.diameter:.0f} ± {estimate.uncertainty:.0f} Å")
    low, high = estimate.diameter - estimate.uncertainty, estimate.diameter + estimate.uncertainty
    axes.axvspan(low, high, color="#c04040", alpha=0.15)
    axes.set_xscale("log")
    ticks = DIAMETERS[::2].round().astype(int)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="assumed particle diameter (Å)", ylabel="score of the best candidates", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")


def _draw_average(axes: Axes, evidence: ScaleEvidence, estimate: DiameterEstimate) -> None:
    """Show the average at the diameter tried that is nearest to the estimate, with a circle of the estimate."""
    nearest = int(np.argmin(np.abs(np.log(DIAMETERS / estimate.diameter))))
    half = BOX_DIAMETERS / 2 * DIAMETERS[nearest]
    axes.imshow(evidence.average[nearest], cmap="gray", extent=(-half, half, half, -half))
    axes.add_patch(Circle((0, 0), estimate.diameter / 2, fill=False, color="#c04040"))
    axes.set(xlabel="Å", title="average candidate")
