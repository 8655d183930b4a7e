"""The builder renders a lesson, and its drift gate finds what no longer comes from the source."""

import ast
import json
import re

import pytest

from rlcourse.course import build as builder
from rlcourse.course.execute import clean_outputs, peak_megabytes
from rlcourse.course.frame import Measured, compute_time, header, readme_table, setup_code
from rlcourse.course.lesson_source import LessonError, hints, read_cells
from rlcourse.course.outline import LESSONS, available_lessons, find_lesson

LEARNER_EXERCISE = '''\
@exercise("97.double")
def double(x, times=1.0):
    """Twice x.

    Args:
        x: [N, 2] anything.
    """
    # factor = ...
    raise NotImplementedError("97.double: write this, or run on with the package's own")'''

SOLVED_EXERCISE = '''\
@exercise("97.double")
def double(x, times=1.0):
    """Twice x.

    Args:
        x: [N, 2] anything.
    """
    factor = 2.0 * times
    return factor * x'''

FOLDED_HINTS = """\
<details><summary>Hint 1: a nudge</summary>

Twice is the sum of a thing
and itself.

</details>

<details><summary>Hint 2: the approach</summary>

Multiply by `2.0 * times`.

</details>

<details><summary>Solution</summary>

```python
@exercise("97.double")
def double(x, times=1.0):
    factor = 2.0 * times
    return factor * x
```

</details>"""


@pytest.fixture
def built(project, capsys):
    builder.build(project)
    return project


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def sources(path):
    return ["".join(cell["source"]) for cell in cells_of(path)]


def edit_source(project, old, new):
    path = project.root / "solutions" / "97_fake.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_learners_notebook(built):
    path = built.learner(built.lessons[0])
    text = sources(path)
    assert text[0].startswith("# 97 · A fake lesson\n\nPart I · KL-regularized RL. Doubling.")
    assert "| about 30 min | about 20 s on 2 CPU cores, 300 MB | CPU |" in text[0]
    assert "[00 Start here](00_start_here.ipynb)" in text[0]
    assert "data:" not in text[0]
    assert text[1] == setup_code(built.lessons[0], "0.1.0")
    assert LEARNER_EXERCISE in text
    assert FOLDED_HINTS in text
    assert "difficulty ●●○○○ 2/5 · importance ●●●●● 5/5 · about 10 min" in "\n".join(text)
    last = available_lessons()[-1]
    assert text[-1].startswith(f"---\n\n← [{last.number:02d} ")
    for cell in cells_of(path):
        assert "nbval-check-output" not in cell["metadata"].get("tags", ())
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            ast.parse("".join(cell["source"]))


def test_notebooks_follow_the_format(built):
    nbformat = pytest.importorskip("nbformat")
    for path in (built.learner(built.lessons[0]), built.solved(built.lessons[0])):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_the_solved_twin(built):
    path = built.solved(built.lessons[0])
    text = sources(path)
    assert SOLVED_EXERCISE in text
    assert "Solution</summary>" not in "\n".join(text)
    assert "[soft value](../notebooks/glossary.md#soft-value) and [next](x.ipynb)" in text[2]
    tags = [cell["metadata"].get("tags") for cell in cells_of(path)]
    assert ["nbval-check-output"] in tags
    assert json.loads((built.root / "solutions" / "measured.json").read_text()) == {
        "97_fake": {"preset": "laptop", "seconds": 12.3, "megabytes": 345, "cores": 2}
    }


def test_building_again_changes_nothing(built):
    files = [built.learner(built.lessons[0]), built.solved(built.lessons[0])]
    before = [path.read_bytes() for path in files]
    builder.build(built, run_solutions=False)
    assert [path.read_bytes() for path in files] == before
    assert builder.drift(built) == []


def test_ids_are_unique_and_stable_under_edits_elsewhere(built):
    path = built.learner(built.lessons[0])
    before = {"".join(cell["source"]): cell["id"] for cell in cells_of(path)}
    edit_source(built, "# Twice.", "# Twice and no more.")
    builder.build(built, run_solutions=False)
    after = {"".join(cell["source"]): cell["id"] for cell in cells_of(path)}
    assert len(set(after.values())) == len(cells_of(path))
    changed = [text for text in after if before.get(text) != after[text]]
    assert changed == ["## Recap\n\nTwice and no more."]


def test_text_edits_keep_outputs_and_code_edits_do_not(built, capsys):
    edit_source(built, "# Twice.", "# Twice, as ever.")
    builder.build(built, run_solutions=False)
    assert builder.drift(built) == []
    edit_source(built, "factor = 2.0 * times", "factor = times * 2.0")
    builder.build(built, run_solutions=False)
    assert "is stale" in capsys.readouterr().out
    assert [line.partition(":")[0] for line in builder.drift(built)] == ["solutions/97_fake.ipynb"]


def spoil_notebook(path, change):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    change(notebook)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def last_code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][-1]


def drop_all_outputs(notebook):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []


SPOILS = {
    "an edited cell": (lambda n: last_code(n).update(source="2"), "differ from the source"),
    "an added cell": (lambda n: n["cells"].append(n["cells"][0]), "differ from the source"),
    "changed metadata": (lambda n: n["metadata"].update(x=1), "differ from the source"),
    "not executed": (lambda n: last_code(n).update(execution_count=None), "not executed"),
    "an error": (
        lambda n: last_code(n).update(outputs=[{"output_type": "error"}]),
        "an error among them",
    ),
    "no outputs": (drop_all_outputs, "no outputs"),
    "too large": (
        lambda n: last_code(n).update(
            outputs=[{"output_type": "stream", "name": "stdout", "text": "x" * 1_000_000}]
        ),
        "less than 1000000 are allowed",
    ),
}


@pytest.mark.parametrize("spoil", SPOILS, ids=str)
def test_drift_of_the_solved_twin_is_found(built, spoil):
    change, says = SPOILS[spoil]
    spoil_notebook(built.solved(built.lessons[0]), change)
    (line,) = builder.drift(built)
    assert line.startswith("solutions/97_fake.ipynb: ")
    assert says in line


def test_drift_of_the_learners_notebook_is_found(built):
    path = built.learner(built.lessons[0])
    path.write_text(path.read_text(encoding="utf-8").replace("Twice", "Thrice"), encoding="utf-8")
    (line,) = builder.drift(built)
    assert line == "notebooks/97_fake.ipynb: differs from what solutions/97_fake.py gives"


def test_other_drift_is_found(built):
    readme = built.root / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("CPU", "GPU"), encoding="utf-8")
    (built.root / "notebooks" / "98_stray.ipynb").write_text("{}")
    built.solved(built.lessons[0]).unlink()
    names = [line.partition(":")[0] for line in builder.drift(built)]
    assert names == ["solutions/97_fake.ipynb", "README.md", "notebooks/98_stray.ipynb"]


def test_an_execution_at_another_preset_is_drift(project, capsys):
    builder.build(project, preset="smoke")
    (line,) = builder.drift(project)
    assert "not executed at laptop" in line


def test_the_readme_keeps_its_text_and_needs_its_markers(built):
    text = (built.root / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- map:begin -->\n| lesson |")
    assert text.endswith("|\n<!-- map:end -->\n\nEnd.\n")
    (built.root / "README.md").write_text("# Title\n")
    with pytest.raises(LessonError, match="map:begin"):
        builder.build(built, run_solutions=False)


def test_too_large_a_notebook_is_refused(project, monkeypatch, capsys):
    monkeypatch.setattr(builder, "MAX_BYTES", 100)
    with pytest.raises(LessonError, match="smaller or fewer pictures"):
        builder.build(project)
    assert not project.solved(project.lessons[0]).exists()


def test_a_missing_source_is_named(project):
    (project.root / "solutions" / "97_fake.py").unlink()
    with pytest.raises(LessonError, match=r"97_fake\.py is missing"):
        builder.build(project)


def test_header_of_the_first_lesson_links_forward():
    text = header(find_lesson(0), Measured("laptop", 130.0, 612.0, 2))
    assert "about 2 min on 2 CPU cores, 600 MB" in text
    assert "[01 KL-regularized RL](01_kl_regularized_rl.ipynb) →" in text
    assert "https://colab.research.google.com/github/" in text
    assert "not measured yet" in header(find_lesson(0), None)


def test_header_names_the_papers():
    text = header(find_lesson(1), None)
    assert "[arXiv:2010.14274](https://arxiv.org/abs/2010.14274)" in text


@pytest.mark.parametrize(
    ("seconds", "says"), [(3, "10 s"), (41, "50 s"), (58, "1 min"), (400, "7 min")]
)
def test_compute_times_are_rounded(seconds, says):
    assert (
        compute_time(Measured("laptop", seconds, 449, 1)) == f"about {says} on 1 CPU core, 400 MB"
    )


def test_the_readme_table_has_every_lesson():
    table = readme_table({})
    assert len(table.split("\n")) == 20
    assert len({line.count("|") for line in table.split("\n")}) == 1
    assert table.count("| coming |") == len(LESSONS) - len(available_lessons())


def test_hints_are_list_items_with_their_continuations():
    assert hints("- one\n  more\n\n  still\n- two") == ["one\nmore\n\nstill", "two"]
    assert hints("1. one\n2. two\n   * inner") == ["one", "two\n* inner"]


def test_outputs_are_cleaned():
    still = {"text/html": "<img>", "text/plain": "Widget()"}
    view = {"application/vnd.jupyter.widget-view+json": {}}
    outputs = [
        {"output_type": "stream", "name": "stderr", "text": "50%|###"},
        {"output_type": "display_data", "data": {**view, "text/plain": "0%"}, "metadata": {}},
        {"output_type": "display_data", "data": {**view, **still}, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "kept in /tmp/abc/p.json"},
    ]
    assert clean_outputs(outputs, {"/tmp/abc/p.json": "~/p.json"}) == [
        {"output_type": "display_data", "data": still, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "kept in ~/p.json"},
    ]


def test_memory_is_measured():
    assert 10 < peak_megabytes() < 100_000


def test_sources_are_read_with_numbers_and_tags(project):
    cells = read_cells(project.root / "solutions" / "97_fake.py")
    assert [cell.number for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.exercise_id for cell in cells if cell.exercise_id] == ["97.double"]
    assert [cell.tags for cell in cells if cell.tags] == [("hints",), ("nbval-check-output",)]
    assert re.match(r"cell 5 \(@exercise", cells[4].name)
