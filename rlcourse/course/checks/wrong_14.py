"""Plausible wrong answers to 14.pca, 14.nearest and 14.choose_lists, by which a check names the
mistake; those to the others are in wrong_14_counts.py."""

import torch
from torch import Tensor

from rlcourse.course.grading import Mistake
from rlcourse.experiments.go_indexes import cheapest, cost
from rlcourse.go.pca import fixed_signs
from rlcourse.ops.neighbors import nearest


def pca_with(center: bool = True, last: bool = False, left: bool = False, scaled: bool = False):
    """PCA by SVD, with one of its steps changed."""

    def wrong(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        mean = x.mean(0)
        u, s, v = torch.linalg.svd(x - mean if center else x, full_matrices=False)
        rows = u.T if left else v
        rows = rows * s[:, None] if scaled else rows
        return mean, fixed_signs(rows.flip(0)[:dim] if last else rows[:dim])

    return wrong


def pca_columns(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    v = torch.linalg.svd(x - mean, full_matrices=False).Vh
    return mean, fixed_signs(v[:, :dim].T)


def pca_per_sample(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    v = torch.linalg.svd(x - x.mean(1, keepdim=True), full_matrices=False).Vh
    return x.mean(0), fixed_signs(v[:dim])


def pca_no_signs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    return mean, torch.linalg.svd(x - mean, full_matrices=False).Vh[:dim]


def pca_scaled_features(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    v = torch.linalg.svd((x - mean) / x.std(0), full_matrices=False).Vh
    return mean, fixed_signs(v[:dim])


def pca_eigh(last: bool):
    """The eigenvectors of the covariance in the order in which eigh gives them."""

    def wrong(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        mean = x.mean(0)
        v = torch.linalg.eigh((x - mean).T @ (x - mean)).eigenvectors.T
        return mean, fixed_signs(v[-dim:] if last else v[:dim])

    return wrong


def nearest_root(queries: Tensor, keys: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    distances, ids = nearest(queries, keys, k, block)
    return distances.sqrt(), ids


def nearest_farthest(queries: Tensor, keys: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    far = _squares(queries, keys)
    return far.topk(k)


def nearest_block_places(
    queries: Tensor, keys: Tensor, k: int, block: int
) -> tuple[Tensor, Tensor]:
    distances, ids = nearest(queries, keys, k, block)
    return distances, ids % block


def nearest_last_block(queries: Tensor, keys: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    start = (len(keys) - 1) // block * block
    best = _squares(queries, keys[start:])
    best, ids = best.topk(min(k, best.shape[1]), largest=False)
    return best, ids + start


def nearest_joined_places(
    queries: Tensor, keys: Tensor, k: int, block: int
) -> tuple[Tensor, Tensor]:
    best = queries.new_zeros(len(queries), 0)
    for part in keys.split(block):
        best = torch.cat([best, _squares(queries, part)], 1)
        best, order = best.topk(min(k, best.shape[1]), largest=False)
    return best, order


def nearest_without(term: str):
    """Distances without one of the three terms."""

    def wrong(queries: Tensor, keys: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
        squares = _squares(queries, keys)
        if term == "keys":
            squares = squares - keys.square().sum(-1)
        elif term == "queries":
            squares = squares - queries.square().sum(-1, keepdim=True)
        else:
            squares = squares + queries @ keys.T
        return squares.topk(k, largest=False)

    return wrong


def _squares(queries: Tensor, keys: Tensor) -> Tensor:
    return (queries[:, None] - keys).square().sum(-1)


def choose_by(key):
    """Among the settings that reach the recall, the least by `key(num_keys, nlist, nprobe)`."""

    def wrong(settings, num_keys: int, wanted: float) -> tuple[int, int]:
        reach = [s for s in settings if s[2] >= wanted]
        if not reach:
            return cheapest(settings, num_keys, wanted)
        best = min(reach, key=lambda s: key(num_keys, s[0], s[1]))
        return best[:2]

    return wrong


def choose_cheapest_of_all(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    return min(settings, key=lambda s: cost(num_keys, s[0], s[1]))[:2]


def choose_best_recall(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    return max(settings, key=lambda s: s[2])[:2]


def choose_any_best(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    if max(s[2] for s in settings) < wanted:
        return max(settings, key=lambda s: s[2])[:2]
    return cheapest(settings, num_keys, wanted)


def choose_cheapest_of_all_if_none(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    if max(s[2] for s in settings) < wanted:
        return choose_cheapest_of_all(settings, num_keys, wanted)
    return cheapest(settings, num_keys, wanted)


def choose_closest(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    return min(settings, key=lambda s: abs(s[2] - wanted))[:2]


def choose_strictly_above(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    above = [s for s in settings if s[2] > wanted]
    return cheapest(above or settings, num_keys, wanted)


def choose_none(settings, num_keys: int, wanted: float) -> tuple[int, int] | None:
    if max(s[2] for s in settings) < wanted:
        return None
    return cheapest(settings, num_keys, wanted)


def choose_swapped(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    return cheapest(settings, num_keys, wanted)[::-1]


OF_PCA = (
    Mistake(
        "The data are not centered: subtract the mean before the SVD, or the first component"
        " points at the mean",
        pca_with(center=False),
    ),
    Mistake(
        "These are the components of the least variance: the singular values fall, so keep the"
        " first rows",
        pca_with(last=True),
    ),
    Mistake(
        "These are the components of the least variance: eigh gives the smallest eigenvalue first,"
        " so turn the order around",
        pca_eigh(last=False),
    ),
    Mistake(
        "The order is turned around: eigh gives the smallest eigenvalue first, and the largest"
        " variance is wanted first",
        pca_eigh(last=True),
    ),
    Mistake(
        "Each feature is divided by its standard deviation: only the mean is subtracted here",
        pca_scaled_features,
    ),
    Mistake(
        "These are left singular vectors, one number for each sample: the components are the rows"
        " of Vh",
        pca_with(left=True),
    ),
    Mistake(
        "The components are multiplied by the singular values: their rows must have length 1",
        pca_with(scaled=True),
    ),
    Mistake(
        "These are columns of Vh: torch.linalg.svd gives it transposed already, so that the"
        " components are its rows",
        pca_columns,
    ),
    Mistake(
        "The mean runs over the features of each sample: it must run over the samples, dim 0",
        pca_per_sample,
    ),
    Mistake(
        "The signs are left as they come: end with fixed_signs, so that equal data give equal keys",
        pca_no_signs,
    ),
)

OF_NEAREST = (
    Mistake("These are distances: the squared ones are wanted, without the root", nearest_root),
    Mistake("These are the farthest keys: topk needs largest=False", nearest_farthest),
    Mistake(
        "The ids count from the start of each block: add `start` to the places in a block",
        nearest_block_places,
    ),
    Mistake(
        "The ids are places in the joined row: `gather` the joined ids by what topk gives",
        nearest_joined_places,
    ),
    Mistake(
        "Only the last block is left: join each block with the best so far before topk",
        nearest_last_block,
    ),
    Mistake(
        "The term |k|^2 is missing: without it long keys look near",
        nearest_without("keys"),
    ),
    Mistake(
        "The term |q|^2 is missing: the order is right, the distances are not",
        nearest_without("queries"),
    ),
    Mistake(
        "The product is counted once: it is |q|^2 - 2 q k + |k|^2",
        nearest_without("two"),
    ),
)

OF_CHOICE = (
    Mistake(
        "The recall that is wanted is not looked at: drop the settings that do not reach it first",
        choose_cheapest_of_all,
    ),
    Mistake(
        "This is the highest recall at any cost: of those that reach it, take the cheapest",
        choose_best_recall,
    ),
    Mistake(
        "The centers are not counted: a query compares with all nlist of them",
        choose_by(lambda n, nlist, nprobe: nprobe * n / nlist),
    ),
    Mistake(
        "Only the visited lists are counted: what costs is the keys in them, num_keys / nlist each",
        choose_by(lambda n, nlist, nprobe: nprobe),
    ),
    Mistake(
        "Where no setting reaches the recall, return one of the highest recall",
        choose_none,
    ),
    Mistake(
        "Where no setting reaches the recall, the cheapest of all is returned: take one of the"
        " highest recall",
        choose_cheapest_of_all_if_none,
    ),
    Mistake(
        "Where no setting reaches the recall, several may have the highest: take the cheapest of"
        " those",
        choose_any_best,
    ),
    Mistake(
        "This is the recall closest to what is wanted: take the cheapest of all that reach it",
        choose_closest,
    ),
    Mistake(
        "A setting whose recall is exactly what is wanted reaches it: compare with >=",
        choose_strictly_above,
    ),
    Mistake("The two numbers are swapped: return nlist, nprobe", choose_swapped),
)
