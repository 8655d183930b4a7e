"""The checks of notebook 14: components, exact search, recall, agreement, and a choice."""

import torch
from torch import Tensor

from rlcourse.course.checks import inputs_14 as inputs
from rlcourse.course.checks import wrong_14 as wrong
from rlcourse.course.checks import wrong_14_counts as wrong_counts
from rlcourse.course.grading import Exercise
from rlcourse.data.index import recall
from rlcourse.experiments.go_indexes import cheapest
from rlcourse.go.agreement import expert_among
from rlcourse.go.pca import fixed_signs
from rlcourse.ops.neighbors import nearest


def pca(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The mean [X] of the samples and their `dim` main components [D, X], as `go.pca.PCA`."""
    mean = x.mean(0)
    components = torch.linalg.svd(x - mean, full_matrices=False).Vh
    return mean, fixed_signs(components[:dim])


EXERCISES = (
    Exercise(
        id="14.pca",
        reference=pca,
        cases=inputs.samples,
        mistakes=wrong.OF_PCA,
        facts=(inputs.components_are_orthonormal,),
    ),
    Exercise(
        id="14.nearest",
        reference=nearest,
        cases=inputs.searches,
        mistakes=wrong.OF_NEAREST,
        facts=(
            inputs.a_key_finds_itself,
            inputs.distances_are_not_negative,
            inputs.memory_stays_small,
        ),
    ),
    Exercise(
        id="14.expert_among",
        reference=expert_among,
        cases=inputs.moves_of_neighbors,
        mistakes=wrong_counts.OF_AMONG,
    ),
    Exercise(
        id="14.recall",
        reference=recall,
        cases=inputs.lists_of_ids,
        mistakes=wrong_counts.OF_RECALL,
        facts=(inputs.order_does_not_matter,),
    ),
    Exercise(
        id="14.choose_lists",
        reference=cheapest,
        cases=inputs.measured_settings,
        mistakes=wrong.OF_CHOICE,
    ),
)
