"""Requirement files, environment.yml, pyproject.toml and the installed packages agree."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement

import tests.repository.pins as pins


def exact_version(pin: Requirement) -> str:
    """The version of a pin `name==version`."""
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is not exact"
    assert "*" not in specifier.version, f"{pin} is not exact"
    assert "+" not in specifier.version, f"{pin} names one build: other machines have another"
    return specifier.version


@pytest.mark.parametrize("filename", [pins.LEARN, pins.DEV, pins.RLAX])
def test_every_pin_is_exact(filename):
    assert all(exact_version(pin) for pin in pins.read_pins(filename).values())


@pytest.mark.parametrize("filename", [pins.LEARN, pins.DEV])
def test_installed_versions_are_the_pinned_ones(filename):
    for name, pin in pins.read_pins(filename).items():
        if pin.marker is None or pin.marker.evaluate():
            assert metadata.version(name).split("+")[0] == exact_version(pin), name


@pytest.mark.parametrize("filename", [pins.LEARN, pins.DEV])
def test_whatever_a_pinned_package_needs_is_pinned(filename):
    known = pins.read_pins(pins.LEARN) | pins.read_pins(filename)
    names = [name for name, pin in known.items() if pin.marker is None or pin.marker.evaluate()]
    needed = pins.closure(names)
    # torch pins its own CUDA libraries exactly; they exist on some systems only.
    cuda = ("nvidia-", "cuda-", "triton")
    assert not [name for name in needed if name not in known and not name.startswith(cuda)]


def test_pins_satisfy_pyproject():
    table = pins.project()
    known = pins.read_pins(pins.LEARN) | pins.read_pins(pins.DEV) | pins.read_pins(pins.RLAX)
    for text in table["dependencies"] + table["optional-dependencies"]["dev"]:
        wanted = Requirement(text)
        name = pins.canonical(wanted.name)
        assert name in known, f"{text} of pyproject.toml is not pinned: run `make pins`"
        assert wanted.specifier.contains(exact_version(known[name])), f"{text}, {known[name]}"


def test_learners_get_every_run_time_dependency():
    learner = pins.read_pins(pins.LEARN)
    names = [pins.canonical(Requirement(text).name) for text in pins.project()["dependencies"]]
    assert not [name for name in names if name not in learner]


def test_pyproject_gives_lower_bounds_only():
    table = pins.project()
    extras = [text for group in table["optional-dependencies"].values() for text in group]
    for text in table["dependencies"] + extras:
        operators = {specifier.operator for specifier in Requirement(text).specifier}
        assert operators <= {">="}, text


def test_environment_yml_is_in_step_with_requirements():
    as_text = {name: str(pin) for name, pin in pins.read_pins(pins.LEARN).items()}
    assert {name: str(pin) for name, pin in pins.read_environment_pins().items()} == as_text
