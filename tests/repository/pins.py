"""Exact versions: reads the requirement files, and writes them from the packages installed here.

    python tests/repository/pins.py --write     once `make test` passes with updated packages

requirements.txt          what a learner needs, with everything that it pulls in
requirements-dev.txt      the tools that test the course, on top
requirements-rlax.txt     what `ops` is compared with; optional: JAX is not built everywhere
environment.yml           requirements.txt for conda
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LEARN, DEV, RLAX = "requirements.txt", "requirements-dev.txt", "requirements-rlax.txt"
LEARNER_TOOLS = ["jupyterlab", "ipykernel", "nbclient", "nbval"]  # beside the package's own
OPTIONAL_TOOL = "rlax"
# Needed on systems other than the one that wrote the pins.
OTHER_SYSTEMS = {
    "appnope": "appnope==0.1.4 ; sys_platform == 'darwin'",
    "colorama": "colorama==0.4.6 ; sys_platform == 'win32'",
    "pywinpty": "pywinpty==3.1.2 ; sys_platform == 'win32'",
}
HEADERS = {
    LEARN: "# Exact versions for learners; see environment.yml for conda.\n",
    DEV: f"# The tools that test the course, on top of {LEARN}.\n-r {LEARN}\n",
    RLAX: "# What tests compare `ops` with; where it does not install, those tests are skipped.\n",
}
ENVIRONMENT = """\
# {learn} for conda: `conda env create -f environment.yml`, then `conda activate rlcourse`.
name: rlcourse
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
{pins}
      - -e .
"""


def canonical(name: str) -> str:
    """The spelling under which package names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(filename: str) -> dict[str, Requirement]:
    """The requirements of one file by canonical name, comments and options left out."""
    lines = (ROOT / filename).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonical(pin.name): pin for pin in found}


def read_environment_pins() -> dict[str, Requirement]:
    """The packages that environment.yml lists for pip."""
    text = (ROOT / "environment.yml").read_text()
    found = [Requirement(line) for line in re.findall(r"^ {6}- ([^-\s].*)$", text, re.MULTILINE)]
    return {canonical(pin.name): pin for pin in found}


def project() -> dict:
    """The `[project]` table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def closure(requirements: list[str]) -> dict[str, metadata.Distribution]:
    """All packages that the requirements need on this machine, themselves included.

    Raises:
        PackageNotFoundError: when one of them is not installed.
    """
    pending = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset]] = set()
    found = {}
    while pending:
        wanted = pending.pop()
        key = (canonical(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        found[key[0]] = distribution = metadata.distribution(wanted.name)
        for text in distribution.requires or []:
            needed = Requirement(text)
            if _applies(needed, wanted.extras):
                pending.append(needed)
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    environment = default_environment()
    choices = extras or {""}
    return requirement.marker is None or any(
        requirement.marker.evaluate({**environment, "extra": extra}) for extra in choices
    )


def groups() -> dict[str, dict[str, metadata.Distribution]]:
    """The installed packages that belong into each file."""
    table = project()
    learner = table["dependencies"] + LEARNER_TOOLS
    tools = table["optional-dependencies"]["dev"]
    learn = closure(learner)
    dev = closure(learner + [tool for tool in tools if Requirement(tool).name != OPTIONAL_TOOL])
    everything = closure(learner + tools)
    return {
        LEARN: learn,
        DEV: {name: found for name, found in dev.items() if name not in learn},
        RLAX: {name: found for name, found in everything.items() if name not in dev},
    }


def pin_lines(found: dict[str, metadata.Distribution]) -> list[str]:
    """`name==version` lines; a build's local label such as +cpu is left out."""
    return [f"{found[name].name}=={found[name].version.split('+')[0]}" for name in sorted(found)]


def main() -> None:
    """Writes all files."""
    for filename, found in groups().items():
        lines = pin_lines(found)
        if filename == LEARN:
            missing = {k: v for k, v in OTHER_SYSTEMS.items() if k not in found}
            lines = sorted(lines + list(missing.values()), key=str.lower)
            indented = "\n".join(f"      - {line}" for line in lines)
            text = ENVIRONMENT.format(learn=LEARN, pins=indented)
            (ROOT / "environment.yml").write_text(text)
        (ROOT / filename).write_text(HEADERS[filename] + "\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(__doc__)
    main()
