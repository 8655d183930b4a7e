"""The set-up cell, the start of a notebook, and the comparison with the declared versions."""

import ast
import importlib.metadata
import subprocess
import sys
import types

import pytest

from rlcourse.course import progress, requirements, setup
from rlcourse.course.frame import setup_code
from rlcourse.course.outline import find_lesson
from rlcourse.course.requirements import Need, needs, pip_command, require

CODE = setup_code(find_lesson(1), "0.1.0")


@pytest.fixture
def started(monkeypatch):
    """The slugs with which the set-up cell starts a lesson."""
    slugs = []
    monkeypatch.setattr(setup, "start", slugs.append)
    return slugs


@pytest.fixture
def pip(monkeypatch):
    """Colab, with a stand-in for pip that records its calls and answers as it is told."""
    calls = []

    def run(command, input, **options):
        calls.append((command, input))
        return types.SimpleNamespace(returncode=run.returncode, stderr="No matching version\n")

    run.returncode = 0
    run.calls = calls
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    return run


def installed(monkeypatch, **versions):
    found = [types.SimpleNamespace(metadata={"Name": n}, version=v) for n, v in versions.items()]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)


def test_the_set_up_cell_is_short_valid_python():
    ast.parse(CODE)
    lines = CODE.split("\n")
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 100
    assert not any(stamp in CODE for stamp in ("@VERSION@", "@SOURCE@", "@SLUG@"))


def test_outside_colab_it_only_starts_the_lesson(started, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: pytest.fail("it ran pip"))
    exec(CODE, {})
    assert started == ["01_kl_regularized_rl"]


def test_in_colab_it_installs_and_keeps_what_is_there(started, pip, monkeypatch):
    installed(
        monkeypatch,
        torch="2.11.0+cu128",
        numpy="2.1.3",
        IPython="7.34.0",
        odd="1.0-git",
        rc="2.0rc1",
    )
    exec(CODE, {})
    ((command, constraints),) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1] == "git+https://github.com/rlcourse/rlcourse@main"
    assert constraints.split("\n") == [
        "torch==2.11.0+cu128",
        "numpy==2.1.3",
        "IPython==7.34.0",
        "rc==2.0rc1",
    ]
    assert started == ["01_kl_regularized_rl"]


def test_in_colab_another_source_can_be_named(started, pip, monkeypatch):
    monkeypatch.setenv("RLCOURSE_SOURCE", "/wheels/rlcourse.whl")
    installed(monkeypatch, rlcourse="0.0.9")
    exec(CODE, {})
    ((command, constraints),) = pip.calls
    assert command[-1] == "/wheels/rlcourse.whl"
    assert constraints == ""  # the old version of the course must not hold itself back


def test_in_colab_the_right_version_is_not_installed_again(started, pip, monkeypatch):
    installed(monkeypatch, rlcourse="0.1.0")
    exec(CODE, {})
    assert pip.calls == []
    assert started == ["01_kl_regularized_rl"]


def test_in_colab_a_failing_pip_is_a_clear_error(started, pip, monkeypatch):
    installed(monkeypatch, torch="2.11.0")
    pip.returncode = 1
    with pytest.raises(RuntimeError, match="could not install the course:\nNo matching version"):
        exec(CODE, {})
    assert started == []


@pytest.fixture
def no_style(monkeypatch):
    style = types.ModuleType("rlcourse.viz.style")
    style.use_style = lambda: None
    monkeypatch.setitem(sys.modules, "rlcourse.viz.style", style)


def test_start_says_what_runs(no_style, capsys):
    setup.start("01_kl_regularized_rl")
    out = capsys.readouterr().out
    for says in ("KL-regularized RL", "Python", "torch", "numpy", "laptop", "90 min", "progress"):
        assert says in out
    assert progress.session().lesson == "01_kl_regularized_rl"


def test_a_gpu_that_is_wanted_and_absent_is_a_warning(no_style, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    setup.start("03_continuous_control")
    assert "NO GPU" not in capsys.readouterr().out
    monkeypatch.setenv("RLCOURSE_PRESET", "paper")
    setup.start("03_continuous_control")
    assert "NO GPU" in capsys.readouterr().out
    assert setup.device().type == "cpu"


def test_start_refuses_a_package_that_is_too_old(no_style, monkeypatch):
    monkeypatch.setattr(setup, "needs", lambda: (Need("torch", ">=99.0", "2.13.0", "", False),))
    with pytest.raises(ImportError, match="torch 2.13.0 is installed, >=99.0 is needed"):
        setup.start("01_kl_regularized_rl")


def test_an_unknown_preset_names_the_three(monkeypatch):
    monkeypatch.setenv("RLCOURSE_PRESET", "huge")
    with pytest.raises(ValueError, match="'huge' is unknown: set it to smoke, laptop or paper"):
        setup.start("01_kl_regularized_rl")


def test_the_preset_is_laptop_unless_set(monkeypatch):
    assert setup.preset() == "laptop"
    monkeypatch.setenv("RLCOURSE_PRESET", "smoke")
    assert setup.preset() == "smoke"


def test_an_unknown_lesson_lists_the_nearest():
    with pytest.raises(ValueError, match="01_kl_regularized_rl"):
        setup.start("01_kl")


def declare(monkeypatch, *lines, extras=()):
    """Let the package declare these requirements."""
    names = types.SimpleNamespace(get_all=lambda key: list(extras))
    monkeypatch.setattr(requirements.importlib.metadata, "requires", lambda name: list(lines))
    monkeypatch.setattr(requirements.importlib.metadata, "metadata", lambda name: names)


def test_too_old_and_missing_packages_are_named_with_the_command(monkeypatch):
    declare(monkeypatch, "torch>=99.0", "numpy>=1.0", "no-such-package>=2")
    with pytest.raises(ImportError) as caught:
        require(needs())
    message = str(caught.value)
    assert ">=99.0 is needed" in message
    assert "no-such-package is missing" in message
    assert 'python -m pip install "torch>=99.0" "no-such-package>=2"' in message
    assert "numpy" not in message


def test_extras_and_other_machines_are_no_errors(monkeypatch):
    declare(
        monkeypatch,
        'no-such-package>=2; extra == "atari"',
        'no-such-other; sys_platform == "nowhere"',
        extras=["atari"],
    )
    assert needs() == (Need("no-such-package", ">=2", None, "atari", False),)
    require(needs())


def test_the_package_itself_missing_names_the_command(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(requirements.importlib.metadata, "requires", requires)
    with pytest.raises(ModuleNotFoundError, match="pip install -e"):
        needs()


def test_pip_commands_are_quoted():
    assert pip_command([Need("a", ">=1", None, "", False)]) == 'python -m pip install "a>=1"'
