"""Settings of every test, in place before torch or the package is imported."""

import os
import sys
import tempfile
import types
from collections.abc import Iterator

# Faiss and torch each bring an OpenMP; spinning threads of one slow the other down.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
# The tests never touch the progress of the person who runs them.
os.environ["RLCOURSE_PROGRESS"] = os.path.join(
    tempfile.mkdtemp(prefix="rlcourse-test-"), "progress.json"
)
os.environ.pop("RLCOURSE_STRICT", None)
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # rlax is an oracle here

import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import settings
from jaxtyping import config as jaxtyping_config
from jaxtyping import install_import_hook

torch.set_num_threads(1)

# The hook takes the checker by the name of a module. With the tower an int is a float (PEP 484).
_checker = types.ModuleType("rlcourse_type_checker")
_checker.checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[_checker.__name__] = _checker
# Of envs the control files check their own input, and their tests give them bad input on purpose.
_checked_envs = ("boundary", "gridworld", "mdp", "probes", "tabular_env")
_envs = [f"rlcourse.envs.{name}" for name in _checked_envs]
_packages = [f"rlcourse.{name}" for name in ("ops", "run", "nets", "data", "klrl")]
install_import_hook([*_packages, *_envs], f"{_checker.__name__}.checked")

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def without_type_checks() -> Iterator[None]:
    """Show the errors that users see, who run without the type checker."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)
