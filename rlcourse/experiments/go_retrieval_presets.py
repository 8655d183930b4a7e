"""The presets of the studies of retrieval."""

from dataclasses import replace
from typing import Any

from rlcourse.experiments.go_retrieval_data import Settings
from rlcourse.experiments.go_retrieval_study import Config
from rlcourse.go import model


def presets(
    variants: tuple[str, ...], *, regularization: float = 0.0, **laptop: Any
) -> dict[str, Config]:
    """Of a study with these variants.

    Args:
        regularization: of all presets.
        laptop: fields of `Config` in which that preset differs from the others' laptop.
    """
    few = Settings(
        num_games=16,
        num_test_games=4,
        num_pool=120,
        num_test=40,
        fractions=(0.5, 1.0),
        index="exact",
    )
    smoke = Config(
        variants,
        few,
        model.Config(1.0, 6, 4, 4, 1, 1, 1, 1, num_next=5),
        num_steps=4,
        batch_size=16,
        evaluate_every=2,
        num_evaluated=20,
        num_seeds=2,
    )
    # For one GPU and a larger set of games; the sizes of the paper are not known.
    many = Settings(
        num_pool=20_000_000,
        num_test=50_000,
        index="IVF65536,PQ32x4fs,Refine(SQ8)",
        nprobe=64,
        num_train=40 * 65536,
    )
    paper = Config(
        variants,
        many,
        model.PRESETS["paper"],
        num_steps=400_000,
        batch_size=2_048,
        learning_rate=1e-3,
        num_unroll=5,
        evaluate_every=5_000,
        num_evaluated=10_000,
    )
    made = {"smoke": smoke, "laptop": Config(variants, **laptop), "paper": paper}
    return {name: replace(preset, regularization=regularization) for name, preset in made.items()}
