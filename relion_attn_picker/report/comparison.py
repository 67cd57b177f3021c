"""A comparison as a page of Markdown, as JSON and as figures: what is true first, how it was measured last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from relion_attn_picker.evaluation.comparison import describe_difference
from relion_attn_picker.evaluation.comparison_result import Comparison, SetResult
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.report.comparison_figures import draw_comparison
from relion_attn_picker.report.comparison_tables import (
    tabulate_architectures,
    tabulate_auc,
    tabulate_conditions,
    tabulate_costs,
    tabulate_differences,
    tabulate_hybrids,
    tabulate_picks,
    tabulate_pixels,
    tabulate_recommendations,
    tabulate_sizes,
)
from relion_attn_picker.report.markdown import format_table

PAGE_NAME: Final = "comparison.md"
JSON_NAME: Final = "comparison.json"

METHOD: Final = """\
A pick is right if it lies within half a particle diameter of a true centre that no surer pick has taken; in simulated
sets a pick on a broken particle, or on one in junk, counts neither way. Average precision (AP) is the area under the
precision–recall curve of all candidates and needs no threshold; F1, precision, recall and IoU are at a threshold
chosen for the best F1 on other micrographs, pixel figures likewise, against discs of the particle diameter. Where a
hybrid has other parameters on some micrographs than on others, the scores there are shifted, in logits, so that the
thresholds of both on other micrographs meet. Figures are pooled over micrographs and then averaged over the seeds.
Beside each stands the 95 % interval over micrographs (standard error by bootstrap over n micrographs, times
√(n / (n − 1)); Student's t with n − 1 degrees of freedom; on the logit scale, differences as they are) and, after ±,
the standard deviation over the seeds. An interval over micrographs and seeds adds the variance of the mean over the
seeds to that over micrographs (degrees of freedom after Satterthwaite); it alone decides what is called higher or
lower. The variance of a mean over sets adds up that of the sets in the same way. Both networks are drawn the same
micrographs, and pairs are of one seed.
Chance is the precision that as many random points would reach, matched in the same way."""

AUC_TEXT: Final = """\
The study has a column of AUCs, and one model's AUC there equals its recall to four digits. That is no property of a
network: it shows that the AUC was computed from thresholded masks. The ROC-AUC of a mask is (recall + specificity) / 2;
it tells no more than these two, and moves with the threshold. The same maps as above, once by their probabilities, once
by their masks:"""


def write_comparison(folder: Path, comparison: Comparison) -> tuple[Path, ...]:
    """Write page, JSON and figures into a folder, each by rename; return their paths, the page first."""
    make_folder(folder)
    figures = draw_comparison(folder, comparison)
    text = format_comparison(comparison, [path.name for path in figures])
    replace_file(folder / PAGE_NAME, text)
    replace_file(folder / JSON_NAME, json.dumps(comparison.to_dict(), indent=1, allow_nan=False) + "\n")
    return (folder / PAGE_NAME, folder / JSON_NAME, *figures)


def format_comparison(comparison: Comparison, figures: list[str]) -> str:
    """Return the page; ``figures`` are the names of the files of figures."""
    return "\n".join([*_format_head(comparison), *_format_body(comparison, figures), ""])


def _format_head(comparison: Comparison) -> Iterator[str]:
    yield "# The Attention U-Net and the standard U-Net compared"
    yield ""
    pairs = f"{comparison.n_seeds} pair{'s' if comparison.n_seeds != 1 else ''} of networks"
    sets = "; ".join(
        f"{each.name} ({each.n_micrographs} micrographs, {each.n_particles} particles of {each.particle_diameter:g} Å)"
        for each in comparison.sets
    )
    yield f"{pairs} on {sets}."
    yield ""
    yield "## In short"
    yield ""
    for each in comparison.sets:
        yield f"- {each.name}: {_describe_headline(each)}"
    yield from (f"- {remark}" for remark in comparison.remarks)
    yield from ("", "### What to take", "")
    yield from format_table(tabulate_recommendations(comparison))
    yield ""
    yield from (f"- For {each.aim} take {each.choice}: {each.reason}" for each in comparison.recommendations)
    yield from ("", "### What the study claims, and what is true here", "")
    for claim in comparison.claims:
        yield f"- {claim.statement} **{claim.verdict[0].upper()}{claim.verdict[1:]}**: {claim.grounds}."


def _describe_headline(result: SetResult) -> str:
    difference = result.differences["average_precision"]
    return describe_difference("attention", "standard", "average precision", difference)


def _format_body(comparison: Comparison, figures: list[str]) -> Iterator[str]:
    for each in comparison.sets:
        yield from _format_set(each)
    yield from ("", "## Curves and differences", "")
    yield from (f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in figures)
    if comparison.sizes:
        yield from ("", "## Training-set size", "")
        yield from format_table(tabulate_sizes(comparison))
    yield from ("", "## Architecture and cost", "")
    yield from format_table(tabulate_architectures(comparison))
    if comparison.costs:
        yield ""
        yield from format_table(tabulate_costs(comparison))
    yield from ("", "## Why an AUC must come from the probabilities", "")
    yield from AUC_TEXT.splitlines()
    yield ""
    yield from format_table(tabulate_auc(comparison))
    yield from ("", "## How this was measured", "", METHOD, "")
    yield from (f"- Pair {number}, {each}" for number, each in enumerate(comparison.networks, start=1))
    yield from ("", "Command:", "", f"    {comparison.command}")


def _format_set(result: SetResult) -> Iterator[str]:
    yield from ("", f"## {result.name}", "", "Picks, within half a diameter:", "")
    yield from format_table(tabulate_picks(result))
    yield from ("", "Pixels, against discs of the particle diameter:", "")
    yield from format_table(tabulate_pixels(result))
    yield from ("", "Attention minus standard:", "")
    yield from format_table(tabulate_differences(result))
    yield from ("", f"Average precision of the hybrids minus that of the better network, {result.better}:", "")
    yield from format_table(tabulate_hybrids(result))
    for name, rows in result.conditions.items():
        yield from ("", f"Average precision by {name}:", "")
        yield from format_table(tabulate_conditions(rows))
