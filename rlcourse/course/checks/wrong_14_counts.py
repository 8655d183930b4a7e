"""Plausible wrong answers to 14.recall and 14.expert_among, by which a check names the mistake."""

import torch
from torch import Tensor

from rlcourse.course.grading import Mistake
from rlcourse.go.agreement import undone
from rlcourse.go.neighbors import inverse


def recall_by_place(found: Tensor, true: Tensor) -> float:
    real = true >= 0
    return float(((found == true) & real).sum() / real.sum())


def recall_first(found: Tensor, true: Tensor) -> float:
    return float((found[:, 0] == true[:, 0]).float().mean())


def recall_padding(found: Tensor, true: Tensor) -> float:
    return float((true[:, :, None] == found[:, None]).any(-1).float().mean())


def precision(found: Tensor, true: Tensor) -> float:
    real = found >= 0
    return float(((found[:, :, None] == true[:, None]).any(-1) & real).sum() / real.sum())


def recall_padding_found(found: Tensor, true: Tensor) -> float:
    hit = (true[:, :, None] == found[:, None]).any(-1)
    return float(hit.sum() / (true >= 0).sum())


def recall_of_rows(found: Tensor, true: Tensor) -> float:
    real = true >= 0
    hit = (true[:, :, None] == found[:, None]).any(-1) & real
    return float((hit.sum(-1) / real.sum(-1)).mean())


def recall_over_true(found: Tensor, true: Tensor) -> float:
    real = true >= 0
    hit = (true[:, :, None] == found[:, None]).any(1) & real
    return float(hit.sum() / real.sum())


def recall_any(found: Tensor, true: Tensor) -> float:
    hit = (true[:, :, None] == found[:, None]).any(-1) & (true >= 0)
    return float(hit.any(-1).float().mean())


def recall_anywhere(found: Tensor, true: Tensor) -> float:
    real = true >= 0
    return float((torch.isin(true, found) & real).sum() / real.sum())


def recall_of_all_places(found: Tensor, true: Tensor) -> float:
    hit = (true[:, :, None] == found[:, None]).any(-1) & (true >= 0)
    return float(hit.float().mean())


def among_with(back: str = "inverse", nearest_only: bool = False, each: bool = False):
    """Agreement with the symmetry undone in a wrong way, or counted in a wrong way."""

    def wrong(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
        if back == "none":
            here = moves
        elif back == "forward":
            here = undone(moves, inverse(symmetry), size)
        else:
            here = undone(moves, symmetry, size)
        same = here == expert[:, None]
        if nearest_only:
            return same[:, :1].expand_as(same).float()
        if each:
            return same.float()
        return same.int().cummax(-1).values.float()

    return wrong


def among_counted(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
    return (undone(moves, symmetry, size) == expert[:, None]).float().cumsum(-1)


def among_share(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
    counted = among_counted(moves, symmetry, expert, size)
    return counted / torch.arange(1, counted.shape[1] + 1)


def among_any_of_all(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
    same = undone(moves, symmetry, size) == expert[:, None]
    return same.any(-1, keepdim=True).expand_as(same).float()


def among_over_queries(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
    same = undone(moves, symmetry, size) == expert[:, None]
    return same.int().cummax(0).values.float()


def among_all(moves: Tensor, symmetry: Tensor, expert: Tensor, size: int) -> Tensor:
    same = undone(moves, symmetry, size) == expert[:, None]
    return same.int().cummin(-1).values.float()


OF_RECALL = (
    Mistake(
        "Place by place is too strict: a true neighbor counts wherever it is found in the row",
        recall_by_place,
    ),
    Mistake("Only the first neighbor is compared: all K count", recall_first),
    Mistake(
        "Padding is counted: -1 among the true ids is no neighbor, leave it out",
        recall_padding,
    ),
    Mistake(
        "The shares are of all places: divide by the number of true neighbors, without padding",
        recall_of_all_places,
    ),
    Mistake(
        "A -1 among the true ids counts as found where the other list has one too: count a hit only"
        " where there is a true neighbor",
        recall_padding_found,
    ),
    Mistake(
        "The table of pairs is reduced over the true ids: reduce it over the found ones",
        recall_over_true,
    ),
    Mistake(
        "The mean of the rows' shares is not the share: count over all rows, then divide once",
        recall_of_rows,
    ),
    Mistake(
        "This is precision, the share of what was found that is true: divide by the number of"
        " true neighbors",
        precision,
    ),
    Mistake("A row counts as soon as one neighbor is found: count the neighbors", recall_any),
    Mistake(
        "An id counts that was found for another query: compare row by row",
        recall_anywhere,
    ),
)

OF_AMONG = (
    Mistake(
        "The symmetry is not undone: the neighbors' moves are on their own boards",
        among_with(back="none"),
    ),
    Mistake(
        "The symmetry is applied once more: it leads from the query to the neighbor, so go back by"
        " its inverse",
        among_with(back="forward"),
    ),
    Mistake(
        "Only the nearest neighbor is looked at in all columns: column n is for the first n + 1",
        among_with(nearest_only=True),
    ),
    Mistake(
        "Each neighbor stands alone here: column n is 1 where any of the first n + 1 knew the move",
        among_with(each=True),
    ),
    Mistake(
        "The neighbors are counted: it is 1 where any of them knew the move",
        among_counted,
    ),
    Mistake(
        "This is the share of the neighbors that know the move: it is 1 where any of them does",
        among_share,
    ),
    Mistake(
        "All columns look at all K neighbors: column n is for the first n + 1",
        among_any_of_all,
    ),
    Mistake(
        "A hit is carried on to the next queries: carry it along a row, dim 1",
        among_over_queries,
    ),
    Mistake("All of the first n + 1 must agree here: any of them is enough", among_all),
)
