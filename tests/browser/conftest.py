"""Starts what a learner starts, `make learn`, on a copy of the notebooks, and a browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.browser.lab import Notebook

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "runs" / "screenshots"
START_TIMEOUT_SECONDS = 300  # it may have to install first
ADDRESS = re.compile(r"http://(?:localhost|127\.0\.0\.1):\d+/lab/tree/\S+?\?token=\w+")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Server(NamedTuple):
    """A running JupyterLab."""

    address: str  # of notebook 00, with the token
    progress: Path

    def address_of(self, notebook: str) -> str:
        return self.address.replace("00_start_here.ipynb", notebook)


def settings(folder: Path) -> dict[str, str]:
    """Points all that the server and kernels keep in the home folder at `folder` instead."""
    jupyter = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "IPYTHONDIR",
        )
    }
    ours = {
        "RLCOURSE_PROGRESS": str(folder / "progress.json"),
        "RLCOURSE_PRESET": "smoke",
        "RLCOURSE_STRICT": "0",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return inherited | jupyter | ours


def wait_for_address(log: Path, process: subprocess.Popen) -> str:
    give_up = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        if found := ADDRESS.search(log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise RuntimeError(f"make learn shows no address:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("learner")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    options = (
        f"--no-browser --ServerApp.port=0 --ServerApp.root_dir={folder} "
        "--LabApp.expose_app_in_browser=True"
    )
    log = folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["make", "learn", f"ARGS={options}", f"VENV={sys.prefix}"],
            cwd=ROOT,
            env=settings(folder),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(wait_for_address(log, process), folder / "progress.json")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def notebook() -> Iterator[Notebook]:
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("no Chromium found: `make browser-test` installs it where it may")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(
            viewport={"width": 1400, "height": 1000},
            permissions=["clipboard-read", "clipboard-write"],
        )
        yield Notebook(context.new_page(), SCREENSHOTS)
        browser.close()
