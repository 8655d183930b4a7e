"""Nearest neighbors by sorting all of a dict."""

import math


def slow_nearest(
    held: dict[int, list[float]], query: list[float], k: int
) -> list[tuple[float, int]]:
    """The k nearest entries as (squared distance, id), ties by id; padded with (inf, -1)."""
    pairs = [
        (math.fsum((a - b) ** 2 for a, b in zip(key, query, strict=True)), id_)
        for id_, key in held.items()
    ]
    return (sorted(pairs) + k * [(math.inf, -1)])[:k]
