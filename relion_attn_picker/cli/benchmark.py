"""``attnpick benchmark``: where the time of one micrograph goes."""

from __future__ import annotations

import click

from relion_attn_picker.cli._options import LIKE_RELION


@click.command(name="benchmark", context_settings=LIKE_RELION)
@click.option(
    "--variant", type=click.Choice(["attention", "standard"]), default="attention", show_default=True, help="Network."
)
@click.option("--base_features", type=int, default=32, show_default=True, help="Width of the network, 8 to 64.")
@click.option("--width", type=int, default=4096, show_default=True, help="Pixels of the micrograph along x.")
@click.option("--height", type=int, default=4096, show_default=True, help="Pixels of the micrograph along y.")
@click.option("--pixel_size", type=float, default=1.0, show_default=True, help="Å per pixel.")
@click.option("--diameter", type=float, default=150.0, show_default=True, help="Particle diameter in Å.")
@click.option("--gpu", default="auto", show_default=True, help="auto, cpu, or a GPU's number.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--j", "threads", type=int, default=2, show_default=True, help="CPU threads.")
@click.option("--repeats", type=int, default=5, show_default=True, help="Counted runs; medians are printed.")
def command(
    variant: str,
    base_features: int,
    width: int,
    height: int,
    pixel_size: float,
    diameter: float,
    gpu: str,
    precision: str,
    threads: int,
    repeats: int,
) -> None:
    """Measure reading, resampling, network, peaks and writing of one float32 micrograph, and the peak memory."""
    from relion_attn_picker.benchmarking import benchmark
    from relion_attn_picker.model_spec import ModelSpec
    from relion_attn_picker.options import InferenceOptions

    inference = InferenceOptions(gpu=gpu, precision=precision, threads=threads)
    result = benchmark(ModelSpec(variant, base_features), (height, width), pixel_size, diameter, inference, repeats)
    size = f"{width}×{height} pixels of {pixel_size:g} Å, particles of {diameter:g} Å"
    print(f"{variant}, {base_features} base features, {result.precision}, {threads} threads; {size}")
    print(f"the network sees {result.network_shape[1]}×{result.network_shape[0]} pixels; medians of {repeats} runs")
    for step, seconds in result.seconds.items():
        print(f"  {step:<9} {seconds:7.3f} s  {100 * seconds / result.total:5.1f} %")
    print(f"  {'total':<9} {result.total:7.3f} s   peak memory {result.peak_memory / 1e9:.2f} GB")
