"""``attnpick benchmark``: where the time of one micrograph goes, how fast a network is trained, or fields simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relion_attn_picker.cli._options import LIKE_RELION, gpu_option, precision_option
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import HYBRID, VARIANTS

if TYPE_CHECKING:
    from relion_attn_picker.options import InferenceOptions
    from relion_attn_picker.training_options import TrainOptions


@click.command(name="benchmark", context_settings=LIKE_RELION)
@click.option("--variant", type=click.Choice(VARIANTS), default="attention", show_default=True, help="What picks.")
@click.option("--base_features", type=int, default=32, show_default=True, help="Width of the network, even, 8 to 64.")
@click.option("--width", type=int, default=4096, show_default=True, help="Pixels of the micrograph along x.")
@click.option("--height", type=int, default=4096, show_default=True, help="Pixels of the micrograph along y.")
@click.option("--pixel_size", type=float, default=1.0, show_default=True, help="Å per pixel.")
@click.option("--diameter", type=float, default=150.0, show_default=True, help="Particle diameter in Å.")
@gpu_option
@precision_option
@click.option("--j", "threads", type=int, default=2, show_default=True, help="CPU threads.")
@click.option("--repeats", type=int, default=5, show_default=True, help="Counted runs; medians are printed.")
@click.option("--training", is_flag=True, help="Measure the training of the network instead.")
@click.option("--simulation", is_flag=True, help="Measure the simulation of fields of this size instead.")
@click.option("--batch_size", type=int, default=8, show_default=True, help="Crops a step of the training.")
@click.option("--input_size", type=int, default=128, show_default=True, help="Side of a training crop in pixels.")
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
    training: bool,
    simulation: bool,
    batch_size: int,
    input_size: int,
) -> None:
    """Measure the steps from reading to writing of one float32 micrograph, and the peak memory.

    With --training: crops a second of the network's training, beside the speed of a matrix product on this machine.
    With --simulation: seconds a simulated field, without writing it.
    """
    from relion_attn_picker.jobs.benchmarks.picking import benchmark
    from relion_attn_picker.options import InferenceOptions
    from relion_attn_picker.training_options import TrainOptions

    inference = InferenceOptions(gpu=gpu, precision=precision, threads=threads)
    if training and simulation:
        raise InputError("--training and --simulation are measured one at a time: give one of them.")
    if simulation:
        _benchmark_simulation((height, width), pixel_size, diameter, inference, repeats)
        return
    if training:
        if variant == HYBRID:
            raise InputError(
                "--training measures one network, and a hybrid is two: give --variant attention or standard."
            )
        options = TrainOptions(
            architecture=variant, base_features=base_features, batch_size=batch_size, input_size=input_size
        )
        _benchmark_training(options, inference, repeats)
        return
    result = benchmark(variant, base_features, (height, width), pixel_size, diameter, inference, repeats)
    size = f"{width}×{height} pixels of {pixel_size:g} Å, particles of {diameter:g} Å"
    print(f"{variant}, {base_features} base features, {result.precision}, {threads} threads; {size}")
    print(f"the network sees {result.network_shape[1]}×{result.network_shape[0]} pixels; medians of {repeats} runs")
    for step, seconds in result.seconds.items():
        print(f"  {step:<9} {seconds:7.3f} s  {100 * seconds / result.total:5.1f} %")
    on_gpu = "" if result.gpu_memory is None else f", of the GPU {result.gpu_memory / 1e9:.2f} GB"
    print(f"  {'total':<9} {result.total:7.3f} s   peak memory {result.peak_memory / 1e9:.2f} GB{on_gpu}")


def _benchmark_simulation(
    shape: tuple[int, int], pixel_size: float, diameter: float, inference: InferenceOptions, repeats: int
) -> None:
    from relion_attn_picker.jobs.benchmarks.simulation import benchmark_simulation

    result = benchmark_simulation(shape, pixel_size, diameter, inference, repeats)
    print(f"fields of {shape[1]}×{shape[0]} pixels of {pixel_size:g} Å, particles of {diameter:g} Å")
    print(f"{inference.threads} threads; {repeats} fields, each under other conditions")
    print(f"  a field   {result.median_seconds:7.3f} s (median)   {1 / result.mean_seconds:.1f} fields a second")


def _benchmark_training(options: TrainOptions, inference: InferenceOptions, repeats: int) -> None:
    from relion_attn_picker.jobs.benchmarks.training import benchmark_training

    result = benchmark_training(options, inference, repeats)
    size = f"batches of {options.batch_size} crops of {options.input_size}×{options.input_size}"
    print(f"{options.architecture}, {options.base_features} base features, {result.precision}, {size}")
    print(f"{inference.threads} threads; medians of {repeats} runs")
    share = 100 * result.flops_per_second / result.ceiling
    print(f"  training         {result.crops_per_second:9.1f} crops/s, {result.flops_per_crop / 1e9:.2f} GFLOP a crop")
    print(f"  achieved         {result.flops_per_second / 1e9:9.0f} GFLOP/s, {share:.0f} % of the ceiling")
    print(f"  matrix product   {result.ceiling / 1e9:9.0f} GFLOP/s, the ceiling")
    crops = f"of {result.crops_per_field} crops"
    for place, speed in result.fields_per_second.items():
        print(f"  simulated fields {speed:9.1f} a second and process on the {place.upper()}, {crops}")
