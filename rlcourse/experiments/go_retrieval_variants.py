"""What is compared in studies of retrieval, by name.

"baseline" has no neighbors, e_i = 0; "blank" has x_i = 0 as the baseline of Humphreys et al. 2022
(arXiv 2206.05314); "n4" has N = 4. Behind a slash stands what is changed: "n4/half"
(half the width), "n4/plain" (no dropout, randomization or regularization), "n4/no_dropout" and so
on.

**Deviations.** With x_i = 0 all e_i are the same, and Eq. 2 gives the square root of N times one of
them: "blank" computes one, without that factor, which the next layer can learn.
"""

from typing import NamedTuple

from rlcourse.go.batches import ABSENT, BLANK, RETRIEVED

WIDTHS = {"quarter": 0.25, "half": 0.5, "double": 2.0}
ROBUST = ("dropout", "randomization", "regularization")


class Variant(NamedTuple):
    """What a name stands for."""

    mode: str  # of `batches.MODES`
    num_neighbors: int  # 0: none are looked up; "blank" has one, which shows nothing
    width: float = 1.0
    off: tuple[str, ...] = ()  # of ROBUST


def variant_of(name: str) -> Variant:
    """The variant that a name stands for.

    Raises:
        ValueError: it stands for none.
    """
    kind, _, change = name.partition("/")
    if kind in ("baseline", "blank"):
        found = Variant(ABSENT, 0) if kind == "baseline" else Variant(BLANK, 1)
    elif kind[:1] == "n" and kind[1:].isdecimal() and int(kind[1:]):
        found = Variant(RETRIEVED, int(kind[1:]))
    else:
        raise ValueError(f"a variant is baseline, blank or n and a number such as n4, got {name!r}")
    changes = {"": {}, "plain": {"off": ROBUST}}
    changes |= {f"no_{rate}": {"off": (rate,)} for rate in ROBUST}
    changes |= {word: {"width": width} for word, width in WIDTHS.items()}
    if change not in changes or name.endswith("/"):
        known = ", ".join(filter(None, changes))
        raise ValueError(f"behind a slash a variant has one of {known}, got {name!r}")
    return found._replace(**changes[change])
