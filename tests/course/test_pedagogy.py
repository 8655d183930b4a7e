"""Each rule of a lesson refuses what breaks it, naming lesson, cell and mend."""

import pytest

from rlcourse.course import build as builder
from rlcourse.course.lesson_source import LessonError

LABELS = "difficulty 2 · importance 5 · 10 minutes"
LONG_SOLUTION = "\n".join(f"    a{i} = {i}" for i in range(30))
REGION = """\
    ### BEGIN SOLUTION
    factor = 2.0 * times
    return factor * x
    ### END SOLUTION
"""
LONG_CELL = "\n".join(f"b{i} = {i}" for i in range(16))

BREACHES = {
    "no labels": (f"# {LABELS}\n", "", "no labels: .*difficulty 2"),
    "no difficulty": ("difficulty 2 · ", "", "no labels"),
    "difficulty out of range": ("difficulty 2", "difficulty 6", "choose from 1 to 5"),
    "importance out of range": ("importance 5", "importance 0", "choose from 1 to 5"),
    "no time": (" · 10 minutes", "", "no labels"),
    "more time than the lesson": ("10 minutes", "31 minutes", "whole lesson has 30"),
    "no heading": ("# ### Exercise 97.double: Doubling\n", "", "no heading"),
    "another id in the heading": ("Exercise 97.double:", "Exercise 97.triple:", "no heading"),
    "unknown id": ('@exercise("97.double")', '@exercise("97.triple")', "registered: 97.double"),
    "an id of another lesson": (
        '@exercise("97.double")',
        '@exercise("96.double")',
        "ids here start",
    ),
    "no check": ("check(double)", "double", r"must call check\(double\)"),
    "no hints": ('[markdown] tags=["hints"]', "[markdown]", "no hints"),
    "one hint": ("# - Multiply", "#   Multiply", "1 hints: write a list of two"),
    "no solution": ("    ### BEGIN SOLUTION\n", "", "exactly one ### BEGIN SOLUTION"),
    "no region": (
        REGION,
        "    return x\n",
        "no solution region",
    ),
    "a short solution": ("    factor = 2.0 * times\n", "", "solution of 1 lines: 2 to 25"),
    "a long solution": ("    factor = 2.0 * times\n", LONG_SOLUTION + "\n", "solution of 31 lines"),
    "code in the stub": ("    # factor = ...", "    factor = 1", "code in the stub"),
    "a long cell": ("print(double", f"{LONG_CELL}\nprint(double", "17 lines of code, 15 at most"),
    "many words": ("# ## Warm-up", "# ## Warm-up\n" + "# word\n" * 151, "words on end"),
    "no recap": ("# ## Recap", "# ## End", "no section `## Recap`"),
    "no warm-up": ("# ## Warm-up", "# ## Questions", "Warm-up"),
    "a broken glossary link": ("#soft-value", "#hard-value", "glossary.md has no #hard-value"),
    "a tag that excuses": ('"nbval-check-output"', '"raises-exception"', "remove the tag"),
    "a skipped cell": ('"nbval-check-output"', '"nbval-skip"', "remove the tag"),
    "a cell left out": ('"nbval-check-output"', '"skip-execution"', "remove the tag"),
    "an ignored output": ('"nbval-check-output"', '"nbval-ignore-output"', "remove the tag"),
    "an expected error": ('"nbval-check-output"', '"nbval-raises-exception"', "remove the tag"),
    "a skipping comment": ("check(double)", "check(double)\n# NBVAL_SKIP", "NBVAL_SKIP: every"),
    "an ignoring comment": ("print(double", "## NBVAL_IGNORE_OUTPUT\nprint(double", "or comment"),
    "an excusing comment": ("print(double", "# NBVAL_RAISES_EXCEPTION\nprint(double", "comment"),
    "invalid Python": ("print(double(", "print(double((", "not valid Python"),
    "a late import": ("check(double)", "import os\ncheck(double)", "move it to the first"),
}


@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_breaches_are_refused(project, source, breach):
    old, new, says = BREACHES[breach]
    assert old in source
    path = project.root / "solutions" / "97_fake.py"
    path.write_text(source.replace(old, new), encoding="utf-8")
    with pytest.raises(LessonError, match=says) as caught:
        builder.build(project)
    assert str(caught.value).startswith("lesson 97_fake, ")
    assert not project.learner(project.lessons[0]).exists()


def test_an_exercise_twice_is_refused(project, source):
    begin = source.index("# %% [markdown]\n# ### Exercise")
    end = source.index('# %% tags=["nbval')
    path = project.root / "solutions" / "97_fake.py"
    path.write_text(source[:end] + source[begin:], encoding="utf-8")
    with pytest.raises(LessonError, match="occurs twice"):
        builder.build(project)


def test_a_check_without_an_exercise_is_refused(project, source):
    begin = source.index("# %% [markdown]\n# ### Exercise")
    end = source.index('# %% tags=["nbval')
    path = project.root / "solutions" / "97_fake.py"
    path.write_text(source[:begin] + source[end:], encoding="utf-8")
    with pytest.raises(LessonError, match=r"97\.double has a check and no cell"):
        builder.build(project)


def test_the_text_after_the_last_code_cell_may_be_long(project, source):
    path = project.root / "solutions" / "97_fake.py"
    path.write_text(source.replace("# Twice.", "# " + "word " * 200), encoding="utf-8")
    builder.checked_cells(project, project.lessons[0])


def test_folded_text_and_tables_do_not_count(project, source):
    words = "word " * 200
    folded = f"# <details><summary>Answer</summary>\n#\n# {words}\n#\n# </details>\n# | {words} |"
    path = project.root / "solutions" / "97_fake.py"
    path.write_text(source.replace("# ## Warm-up", f"# ## Warm-up\n{folded}"), encoding="utf-8")
    builder.checked_cells(project, project.lessons[0])
