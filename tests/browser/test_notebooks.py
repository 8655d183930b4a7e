"""A learner's first hour: open, run all, answer wrongly, answer rightly, move a slider.

Screenshots are left in runs/screenshots/.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser


class Plan(NamedTuple):
    """What the test knows about a notebook. The right answer is taken from the solved twin."""

    notebook: str
    exercise: str
    right: str  # a piece of the solved cell ...
    wrong: str  # ... and what makes it wrong
    message: str  # a pattern that the verdict on the wrong answer matches
    slider: str = ""  # the label of a slider that is to move a picture
    point: str = ""  # of a Go board, where a click is to be answered


PLANS = (
    Plan(
        notebook="00_start_here.ipynb",
        exercise="00.discounted_returns",
        right="reward[t] + discount[t] * following",
        wrong="reward[t] + following",
        message=r"discount",
    ),
    Plan(
        notebook="01_kl_regularized_rl.ipynb",
        exercise="01.categorical_kl",
        right="log_p - log_q",
        wrong="log_q - log_p",
        message=r"sign|swap|negative|order",
        slider="α",
    ),
    Plan(
        notebook="02_multitask_priors.ipynb",
        exercise="02.two_kls",
        right="log_q.exp() * (log_q - log_p)",
        wrong="log_q.exp() * (log_p - log_q)",
        message=r"wrong sign",
        slider="width of q",
    ),
    Plan(
        notebook="03_continuous_control.ipynb",
        exercise="03.sac_target",
        right="next_q.amin(0) - temperature * next_log_prob",
        wrong="next_q.amin(0) + temperature * next_log_prob",
        message=r"entropy has the wrong sign",
        slider="temperature η",
    ),
    Plan(
        notebook="13_go_engine_and_data.ipynb",
        exercise="13.flood",
        right="grown = reached | (beside(reached) & within)",
        wrong="grown = reached | beside(reached)",
        message=r"walks through walls",
        point="E5",
    ),
    Plan(
        notebook="14_keys_and_neighbours.ipynb",
        exercise="14.pca",
        right="torch.linalg.svd(x - mean, full_matrices=False)",
        wrong="torch.linalg.svd(x, full_matrices=False)",
        message=r"not centered",
        slider="position",
    ),
    Plan(
        notebook="15_retrieval_augmented_model.ipynb",
        exercise="15.fuse",
        right="there.sum(1) / num_neighbors**0.5",
        wrong="there.sum(1) / num_neighbors",
        message=r"square root of N, not by N",
        slider="position",
    ),
    Plan(
        notebook="16_search_and_play.ipynb",
        exercise="16.backup",
        right="node, value = parent, -value",
        wrong="node, value = parent, value",
        message=r"keeps its sign",
        slider="simulations",
        point="E5",
    ),
)
SOLVED = re.compile(r"(\d+) of (\d+) exercises solved")


def solved_cell(plan: Plan) -> str:
    """The source of the exercise's cell in the solved notebook."""
    path = ROOT / "solutions" / plan.notebook
    mark = f'@exercise("{plan.exercise}")'
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    (found,) = [source for source in sources if mark in source and plan.right in source]
    return found


def number_solved(shown: str) -> int:
    found = SOLVED.search(shown)
    assert found, f"no count of solved exercises in {shown[-500:]!r}"
    return int(found.group(1))


def answer(notebook, plan: Plan, source: str) -> str:
    """Writes an answer, runs it and its check; returns what the check shows."""
    exercise = notebook.find(f'@exercise("{plan.exercise}")')
    check = notebook.find("check(", after=exercise)
    notebook.replace(exercise, source)
    notebook.run(exercise)
    notebook.run(check)
    notebook.show(check)
    return notebook.shown(check)


def answer_wrongly_then_rightly(server, notebook, plan: Plan, name: str) -> None:
    solution = solved_cell(plan)
    verdict = answer(notebook, plan, solution.replace(plan.right, plan.wrong))
    notebook.screenshot(f"{name}_3_wrong_answer")
    assert "FAIL" in verdict
    assert re.search(plan.message, verdict), verdict

    verdict = answer(notebook, plan, solution)
    notebook.screenshot(f"{name}_4_right_answer")
    assert "PASS" in verdict
    assert json.loads(server.progress.read_text())["exercises"][plan.exercise]["passed"]


def move_slider(notebook, label: str, name: str) -> None:
    cell = notebook.show(notebook.widget_cell(label))
    handle = notebook.slider(cell, label)
    handle.scroll_into_view_if_needed()
    notebook.screenshot(f"{name}_5_slider_before")
    before, value = notebook.drawn(cell), handle.get_attribute("aria-valuenow")
    assert before, "the widget draws nothing"
    handle.focus()
    for _ in range(3):
        notebook.page.keyboard.press("ArrowRight")
    expect(handle).not_to_have_attribute("aria-valuenow", value)
    notebook.wait_for_another_picture(cell, before)
    notebook.screenshot(f"{name}_6_slider_after")


def play_a_move(notebook, point: str, name: str) -> None:
    cell = notebook.show(notebook.find("OpponentBoard("))
    button = cell.locator(f'button[title="{point}"]')
    button.scroll_into_view_if_needed()
    notebook.screenshot(f"{name}_5_board_before")
    before = notebook.drawn(cell)
    assert before, "the board draws nothing"
    button.click()
    expect(cell).to_contain_text("White played", timeout=30_000)
    assert notebook.drawn(cell) != before
    notebook.screenshot(f"{name}_6_board_after")


@pytest.mark.parametrize("plan", PLANS, ids=[plan.notebook for plan in PLANS])
def test_a_learner_works_through_a_notebook(server, notebook, plan):
    name = plan.notebook.removesuffix(".ipynb")
    notebook.open(server.address_of(plan.notebook), plan.notebook)
    notebook.screenshot(f"{name}_1_opened")
    notebook.run_all()
    assert notebook.errors() == []
    notebook.screenshot(f"{name}_2_ran")
    progress = notebook.find("progress()")
    solved_before = number_solved(notebook.shown(progress))

    answer_wrongly_then_rightly(server, notebook, plan, name)
    if plan.slider:
        move_slider(notebook, plan.slider, name)
    if plan.point:
        play_a_move(notebook, plan.point, name)

    notebook.run(progress)
    notebook.show(progress)
    notebook.screenshot(f"{name}_7_progress")
    assert number_solved(notebook.shown(progress)) == solved_before + 1
    assert notebook.errors() == []
