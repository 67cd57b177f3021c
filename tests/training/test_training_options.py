"""Recipes and options of a training."""

from __future__ import annotations

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.training_options import TrainOptions, follow_recipe


def test_study_recipe_and_shortening() -> None:
    crops, options = follow_recipe("study", {"seed": 5, "steps": None})
    assert (crops.crops_per_source, options.input_size, options.base_features) == (70_000, 128, 64)
    assert options.steps * options.batch_size == pytest.approx(100 * 70_000, rel=1e-4)
    assert crops.seed == options.seed == 5
    shorter_crops, shorter = follow_recipe("study", {"seed": 5, "base_features": 16}, shorten=100)
    assert (shorter_crops.crops_per_source, shorter.steps) == (700, round(options.steps / 100))
    assert shorter.base_features == 16
    assert follow_recipe("study", {"epochs": 10.0}, shorten=100)[1].steps == round(10 * 700 / 64)
    given = {"epochs": 10.0, "crops_per_source": 1600}
    assert follow_recipe("study", given, shorten=100)[1].steps == follow_recipe("study", given)[1].steps == 250
    with pytest.raises(InputError, match="Both --steps and --epochs are given"):
        follow_recipe("small", {"steps": 5, "epochs": 2.0})
    with pytest.raises(InputError, match=r"--shorten is 0\.5: expected a factor of 1 or more"):
        follow_recipe("small", {}, shorten=0.5)


@pytest.mark.parametrize(
    ("option", "value"), [("base_features", 5), ("base_features", 66), ("seed", -1), ("seed", 2**64)]
)
def test_training_options_that_cannot_be_meant(option: str, value: int) -> None:
    with pytest.raises(InputError, match=f"is {value}: expected"):
        TrainOptions(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("epochs", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_epochs(epochs: float) -> None:
    with pytest.raises(InputError, match=r"epochs is .*: expected more than 0, such as 10\."):
        follow_recipe("small", {"epochs": epochs})
