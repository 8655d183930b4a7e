"""The course map: parts, lessons and the address of the repository.

This is the one place that says which lessons exist, in which order, how long they take and what
they need. The builder, the progress map, the README's table and the set-up cell all read it.
"""

import difflib
from typing import NamedTuple

# Badges and set-up cells are stamped from these two.
REPOSITORY = "https://github.com/rlcourse/rlcourse"
BRANCH = "main"


class Paper(NamedTuple):
    """A source paper. `arxiv` is the identifier, or empty where none is recorded."""

    authors: str
    title: str
    arxiv: str = ""


class Part(NamedTuple):
    """A group of lessons. `numeral` is empty for the opening lesson."""

    numeral: str
    title: str


class Lesson(NamedTuple):
    """One notebook. `part` is the numeral of its part; `prerequisites` are lesson numbers."""

    number: int
    slug: str
    title: str
    part: str
    work_minutes: int
    hardware: str
    prerequisites: tuple[int, ...]
    papers: tuple[Paper, ...]
    summary: str
    available: bool = False

    def wants_gpu(self, preset: str) -> bool:
        """Whether this lesson at `preset` is meant for a GPU."""
        return self.hardware.startswith("GPU") or (preset == "paper" and "GPU" in self.hardware)


CPU = "CPU"
CPU_OR_GPU = "CPU; GPU for `paper`"

BEHAVIOR_PRIORS = Paper(
    "Tirumala et al. 2020", "Behavior Priors for Efficient Reinforcement Learning", "2010.14274"
)
DISTRAL = Paper("Teh et al. 2017", "Distral: Robust Multitask Reinforcement Learning", "1707.04175")
MPO = Paper("Abdolmaleki et al. 2018", "Maximum a Posteriori Policy Optimisation", "1806.06920")
DECOUPLED_MPO = Paper(
    "Abdolmaleki et al. 2018", "Relative Entropy Regularized Policy Iteration", "1812.02256"
)
SAC = Paper("Haarnoja et al. 2018", "Soft Actor-Critic Algorithms and Applications", "1812.05905")
RETRACE = Paper(
    "Munos et al. 2016", "Safe and Efficient Off-Policy Reinforcement Learning", "1606.02647"
)
ASYMMETRY = Paper(
    "Galashov et al. 2019", "Information Asymmetry in KL-regularized RL", "1905.01240"
)
HIERARCHY = Paper(
    "Tirumala et al. 2019",
    "Exploiting Hierarchy for Learning and Transfer in KL-regularized RL",
    "1903.07438",
)
NPMP = Paper(
    "Merel et al. 2019",
    "Neural Probabilistic Motor Primitives for Humanoid Control",
    "1811.11711",
)
MFEC = Paper("Blundell et al. 2016", "Model-Free Episodic Control", "1606.04460")
NEC = Paper("Pritzel et al. 2017", "Neural Episodic Control", "1703.01988")
DQN = Paper("Mnih et al. 2015", "Human-level Control through Deep Reinforcement Learning")
R2D2 = Paper(
    "Kapturowski et al. 2019", "Recurrent Experience Replay in Distributed Reinforcement Learning"
)
RARL = Paper("Goyal et al. 2022", "Retrieval-Augmented Reinforcement Learning", "2202.08417")
LARGE_SCALE = Paper(
    "Humphreys et al. 2022", "Large-Scale Retrieval for Reinforcement Learning", "2206.05314"
)

PARTS = (
    Part("", "Start here"),
    Part("I", "KL-regularized RL"),
    Part("II", "Behavior priors"),
    Part("III", "Episodic control"),
    Part("IV", "Retrieval-augmented RL"),
    Part("V", "Large-scale retrieval"),
    Part("VI", "Scale"),
)

# fmt: off
LESSONS = (
    Lesson(0, "00_start_here", "Start here", "", 40, CPU, (), (),
           "How exercises, checks, presets and progress work, with one warm-up exercise.", True),
    Lesson(1, "01_kl_regularized_rl", "KL-regularized RL", "I", 90, CPU, (0,), (BEHAVIOR_PRIORS,),
           "Exact soft value iteration, the Boltzmann policy over a prior, and what α does.", True),
    Lesson(2, "02_multitask_priors", "Multitask priors", "I", 90, CPU, (1,),
           (DISTRAL, BEHAVIOR_PRIORS),
           "The optimal prior as a mixture of task policies, and DISTRAL, tabular then neural.",
           True),
    Lesson(3, "03_continuous_control", "Continuous control", "I", 90, CPU_OR_GPU, (1,),
           (SAC, MPO, DECOUPLED_MPO, RETRACE, BEHAVIOR_PRIORS),
           "One objective, three algorithms on MuJoCo: SAC, MPO, and SVG(0) with Retrace.", True),
    Lesson(4, "04_information_asymmetry", "Information asymmetry", "II", 80, CPU_OR_GPU, (2, 3),
           (ASYMMETRY, BEHAVIOR_PRIORS),
           "What the prior may not see, and the information-bottleneck bound."),
    Lesson(5, "05_temporal_priors", "Temporal priors", "II", 80, CPU_OR_GPU, (4,),
           (BEHAVIOR_PRIORS,),
           "Sequential navigation with second-order Markov targets; LSTM against MLP prior."),
    Lesson(6, "06_hierarchical_priors", "Hierarchical priors", "II", 90, CPU_OR_GPU, (4, 5),
           (HIERARCHY, NPMP, BEHAVIOR_PRIORS),
           "Latent-variable priors and their bound, AR(1) and NPMP, and transfer to new bodies."),
    Lesson(7, "07_model_free_episodic_control", "Model-free episodic control", "III", 70, CPU,
           (0,), (MFEC,),
           "Random projections, k nearest neighbors and tables of the best return."),
    Lesson(8, "08_neural_episodic_control", "Neural episodic control", "III", 80, CPU_OR_GPU,
           (7,), (NEC,),
           "The differentiable neural dictionary, N-step targets and a FAISS-backed memory."),
    Lesson(9, "09_recurrent_replay", "Recurrent replay", "III", 90, CPU_OR_GPU, (0,), (DQN, R2D2),
           "DQN to R2D2: stored state, burn-in, value rescaling, prioritized sequences."),
    Lesson(10, "10_retrieval_process", "The retrieval process", "IV", 90, CPU, (9,), (RARL,),
           "Summarizers, slots, queries, top-k, bottleneck and slot attention, step by step."),
    Lesson(11, "11_rarl_gridroboman", "Retrieval on gridroboman", "IV", 80, CPU_OR_GPU, (10,),
           (RARL,),
           "RA-DQN on 10, 20 and 30 tasks offline; swapping the dataset at test time."),
    Lesson(12, "12_rarl_babyai_atari", "Retrieval on BabyAI and Atari", "IV", 90, CPU_OR_GPU,
           (9, 11), (RARL,),
           "RA-R2D2: instruction following, adapting to new tasks, and the Atari experiment."),
    Lesson(13, "13_go_engine_and_data", "A Go engine and its data", "V", 80, CPU, (0,),
           (LARGE_SCALE,),
           "A batched Go engine, SGF and GTP, and a data set of expert games.", True),
    Lesson(14, "14_keys_and_neighbours", "Keys and neighbors", "V", 80, CPU_OR_GPU, (13,),
           (LARGE_SCALE,),
           "A key network with PCA; exact against approximate search: recall, speed, memory.",
           True),
    Lesson(15, "15_retrieval_augmented_model", "The retrieval-augmented model", "V", 90,
           CPU_OR_GPU, (14,), (LARGE_SCALE,),
           "The action-conditional model with N neighbors; growing the data without training.",
           True),
    Lesson(16, "16_search_and_play", "Search and play", "V", 90, CPU_OR_GPU, (15,),
           (LARGE_SCALE,),
           "pUCT search on the learned model, matches over GTP, adding the opponent's games.",
           True),
    Lesson(17, "17_scaling_up", "Scaling up", "VI", 80, CPU_OR_GPU, (9, 14), (R2D2, LARGE_SCALE),
           "Actors and learner on Ray, torchrun, sharded indexes, exact search on a GPU."),
)
# fmt: on


def available_lessons() -> tuple[Lesson, ...]:
    """The lessons that can be opened now, in order."""
    return tuple(lesson for lesson in LESSONS if lesson.available)


def find_lesson(name: str | int) -> Lesson:
    """The lesson with this slug or number (1, "1" and "01" are the same).

    Raises:
        ValueError: if there is none; the message lists the nearest slugs.
    """
    for lesson in LESSONS:
        if name == lesson.slug or str(name).isdecimal() and int(name) == lesson.number:
            return lesson
    slugs = [lesson.slug for lesson in LESSONS]
    near = difflib.get_close_matches(str(name), slugs, cutoff=0.4) or slugs
    raise ValueError(f"no lesson {name!r}; did you mean: {', '.join(near)}?")


def colab_url(lesson: Lesson) -> str:
    """Where Colab opens this lesson's notebook."""
    path = REPOSITORY.removeprefix("https://")
    host, _, repository = path.partition("/")
    service = host.removesuffix(".com")
    return (
        f"https://colab.research.google.com/{service}/{repository}"
        f"/blob/{BRANCH}/notebooks/{lesson.slug}.ipynb"
    )
