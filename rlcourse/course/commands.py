"""What the command line does. Heavy imports stand in the functions: help comes at once."""

import dataclasses
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class CommandError(Exception):
    """A command was given something that it cannot work with. The message names the mend."""


def build(lessons: Sequence[str], execute: bool, preset: str) -> int:
    """Write notebooks and the README's table."""
    from rlcourse.course import build as builder
    from rlcourse.course.lesson_source import LessonError

    try:
        builder.build(builder.checkout(lessons), execute, preset)
    except (LessonError, ValueError, FileNotFoundError) as error:
        raise CommandError(error) from error
    return 0


def check(lessons: Sequence[str]) -> int:
    """Print each file that has drifted from its source; 1 if there is any."""
    from rlcourse.course import build as builder
    from rlcourse.course.lesson_source import LessonError

    try:
        drifted = builder.drift(builder.checkout(lessons))
    except (LessonError, ValueError, FileNotFoundError) as error:
        raise CommandError(error) from error
    for line in drifted:
        print(line)
    if drifted:
        print("mend: python -m rlcourse build (with --no-execute if only text changed)")
    return 1 if drifted else 0


@dataclass(frozen=True)
class RunOptions:
    """What every experiment takes.

    Attributes:
        preset: the size: smoke, laptop or paper.
        out: the folder for results; runs/EXPERIMENT/PRESET if it is not given.
        seeds: the number of seeds, if not the preset's.
        reference: also write the curves that the course ships, in data/curves.
    """

    preset: str = "laptop"
    out: Path | None = None
    seeds: int | None = None
    reference: bool = False


def run_experiment(name: str, arguments: Sequence[str], program: str) -> int:
    """Run the experiment `name` with command-line `arguments`; resume it where it was interrupted.

    An experiment is a module with a frozen dataclass `Config`, `PRESETS` (name -> Config),
    `run(config, folder)`, `plot(folder)`, which returns a matplotlib figure, and
    `reference_curves(folder)`, the curves that are shipped.
    """
    import tyro

    experiment = find_experiment(name)
    options, rest = tyro.cli(
        RunOptions, args=list(arguments), return_unknown_args=True, add_help=False
    )
    config = tyro.cli(
        experiment.Config,
        default=_preset(experiment, name, options),
        args=rest,
        prog=f"{program} run {name} [--preset NAME] [--out FOLDER] [--seeds N] [--reference]",
        description=(experiment.__doc__ or name).split("\n\n")[0],
    )
    folder = writable_folder(options.out or Path("runs") / name / options.preset)
    _run(experiment, config, folder)
    if options.reference:
        from rlcourse.experiments.reference import save_reference

        print(f"reference curves: {save_reference(name, experiment.reference_curves(folder))}")
    _save_figure(experiment, folder)
    return 0


def list_experiments() -> int:
    """Print the names of all experiments."""
    print("experiments: " + (", ".join(experiment_names()) or "none yet"))
    return 0


def experiment_names() -> list[str]:
    """The experiments in the package: the modules that have presets."""
    return [name for name in _module_names() if hasattr(_module(name), "PRESETS")]


def find_experiment(name: str) -> ModuleType:
    """Import an experiment.

    Raises:
        CommandError: if there is none of that name; the message lists them all.
    """
    module = _module(name) if name in _module_names() else None
    if not hasattr(module, "PRESETS"):
        known = ", ".join(experiment_names()) or "none yet"
        raise CommandError(f"no experiment {name!r}; there are: {known}")
    return module


def writable_folder(folder: Path) -> Path:
    """The folder, made if need be.

    Raises:
        CommandError: if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise CommandError(
            f"cannot write to {folder} ({error}); choose another folder with --out"
        ) from error


def bench(names: Sequence[str]) -> int:
    """Run benchmark files one after the other; 1 if any of them fails."""
    folder = ROOT / "benchmarks"
    files = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
    if not files:
        raise CommandError(f"{folder} holds no benchmarks: they run in a clone of the course")
    unknown = [name for name in names if name not in files]
    if unknown:
        raise CommandError(f"no benchmark {unknown[0]!r}; there are: {', '.join(files)}")
    # A script's own folder comes first on its path; the package has to be found beside it.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    status = 0
    for name in names or files:
        print(f"## {name}\n", flush=True)
        command = [sys.executable, str(files[name])]
        status |= subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode != 0
        print(flush=True)
    return int(status)


def diagnose() -> int:
    """Print what is installed and what is missing; 1 if something every lesson needs is missing."""
    from rlcourse.course.doctor import doctor

    return doctor()


def _module_names() -> list[str]:
    from rlcourse import experiments

    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"rlcourse.experiments.{name}")


def _preset(experiment: ModuleType, name: str, options: RunOptions) -> Any:
    """The config of the chosen preset, with the number of seeds put in."""
    if options.preset not in experiment.PRESETS:
        known = ", ".join(experiment.PRESETS)
        raise CommandError(f"{name} has no preset {options.preset!r}; it has: {known}")
    config = experiment.PRESETS[options.preset]
    if options.seeds is None:
        return config
    if "num_seeds" not in {field.name for field in dataclasses.fields(config)}:
        raise CommandError(f"{name} has no number of seeds to set: leave --seeds out")
    return dataclasses.replace(config, num_seeds=options.seeds)


def _run(experiment: ModuleType, config: Any, folder: Path) -> None:
    """Run it; a ValueError that this package itself raises is a message, others are bugs."""
    try:
        experiment.run(config, folder)
    except ValueError as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if raised_in.is_relative_to(ROOT / "rlcourse"):
            raise CommandError(error) from error
        raise


def _save_figure(experiment: ModuleType, folder: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    path = folder / "figure.png"
    experiment.plot(folder).savefig(path, dpi=150)
    print(f"results and {path.name} are in {folder}")
