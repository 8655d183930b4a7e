"""Progress survives restarts, other kernels and damage, and nothing is ever lost silently."""

import json
import multiprocessing
import xml.etree.ElementTree as ET

import pytest

from rlcourse.course import catalog, progress
from rlcourse.course.course_map import course_map_html, course_map_svg, course_map_text
from rlcourse.course.outline import LESSONS, available_lessons, find_lesson

PASSED = {"97.double"}


def entries():
    return json.loads(progress.progress_path().read_text())["exercises"]


def restart():
    progress.session.cache_clear()


def test_survives_a_restart_and_stays_passed():
    progress.record("97.double", passed=False)
    progress.record("97.double", passed=True)
    progress.record("97.double", passed=False)
    restart()
    assert progress.passed_exercises() == PASSED
    assert entries() == {"97.double": {"passed": True, "attempts": 3}}


def _record_many(name):
    for i in range(20):
        progress.record(f"{name}.{i}", passed=True)


def test_two_kernels_keep_each_others_entries():
    fork = multiprocessing.get_context("fork")
    kernels = [fork.Process(target=_record_many, args=(name,)) for name in ("a", "b")]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join()
    assert len(entries()) == 40


@pytest.mark.parametrize(
    "damage",
    [
        b'{"version": 1, "exer',
        b"",
        b"[]",
        b"\xff\xfe\x00",
        b'{"version": 1, "exercises": [1]}',
        b'{"version": 1, "exercises": {"a": {"passed": true, "attempts": Infinity}}}',
        b"[" * 200_000,
    ],
    ids=["cut", "empty", "list", "binary", "wrong", "infinite", "deep"],
)
def test_a_corrupt_file_is_moved_aside(damage, capsys):
    path = progress.progress_path()
    path.write_bytes(damage)
    progress.record("97.double", passed=True)
    (aside,) = path.parent.glob("*corrupt*")
    assert aside.read_bytes() == damage
    assert str(aside) in capsys.readouterr().out
    assert progress.passed_exercises() == PASSED


def test_an_unwritable_place_keeps_progress_in_memory(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    progress.record("97.double", passed=True)
    progress.record("97.other", passed=False)
    assert progress.passed_exercises() == PASSED
    assert capsys.readouterr().out.count("cannot be saved") == 1


def test_what_was_kept_in_memory_is_saved_later(monkeypatch, tmp_path):
    good = progress.progress_path()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    progress.record("97.double", passed=True)
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(good))
    progress.record("97.other", passed=False)
    restart()
    assert progress.passed_exercises() == PASSED
    assert set(entries()) == {"97.double", "97.other"}


def test_a_read_only_file_is_left_alone(capsys):
    path = progress.progress_path()
    progress.record("97.double", passed=True)
    before = path.read_bytes()
    path.chmod(0o444)
    progress.record("97.other", passed=True)
    assert path.read_bytes() == before
    assert "read-only" in capsys.readouterr().out
    assert progress.passed_exercises() == {"97.double", "97.other"}


def test_what_was_passed_stays_passed_where_a_fail_cannot_be_saved():
    progress.record("97.double", passed=True)
    progress.progress_path().chmod(0o444)
    progress.record("97.double", passed=False)
    assert progress.passed_exercises() == PASSED


def test_a_newer_file_is_left_alone(capsys):
    path = progress.progress_path()
    path.write_text('{"version": 99, "tasks": 5}')
    progress.record("97.double", passed=True)
    assert path.read_text() == '{"version": 99, "tasks": 5}'
    assert "version 99" in capsys.readouterr().out
    assert progress.passed_exercises() == PASSED


def test_a_lock_left_by_a_dead_kernel_is_removed(monkeypatch):
    monkeypatch.setattr(progress, "LOCK_STALE_SECONDS", -1.0)
    lock = progress.progress_path().with_name("progress.json.lock")
    lock.write_text("")
    progress.record("97.double", passed=True)
    assert set(entries()) == PASSED
    assert not lock.exists()


def test_a_held_lock_keeps_progress_in_memory(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOCK_WAIT_SECONDS", 0.02)
    progress.progress_path().with_name("progress.json.lock").write_text("")
    progress.record("97.double", passed=True)
    assert "held by another kernel" in capsys.readouterr().out
    assert progress.passed_exercises() == PASSED


def test_progress_is_drawn_and_moves(monkeypatch, capsys):
    class Other:
        id = "00.other"

    class Solved:
        id = "00.solved"

    monkeypatch.setattr(
        catalog, "lesson_exercises", lambda number: (Solved, Other) if number == "00" else ()
    )
    progress.begin("00_start_here")
    progress.progress()
    assert "0 of 2 exercises solved" in capsys.readouterr().out
    progress.record("00.solved", passed=True)
    progress.progress()
    out = capsys.readouterr().out
    assert "1 of 2 exercises solved" in out
    assert "> 00 Start here" in out


def test_the_map_is_valid_svg_with_every_lesson():
    counts = {"00_start_here": (1, 1), "01_kl_regularized_rl": (2, 6)}
    svg = course_map_svg(counts, current="01_kl_regularized_rl")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}title"))) == 1
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(text == "coming" for text in texts) == len(LESSONS) - len(available_lessons())
    assert {f"{lesson.number:02d}" for lesson in LESSONS} <= set(texts)
    assert "✓ 1/1 solved" in texts
    assert "2/6 solved · here" in texts
    assert "3 of 7 exercises solved" in svg


def test_the_map_without_counts_shows_times():
    assert "90 min" in course_map_svg()
    assert "coming" in course_map_text()
    assert 'alt="18 lessons' in course_map_html()


def test_lessons_are_found_by_slug_and_number():
    assert find_lesson("01_kl_regularized_rl") == find_lesson(1) == find_lesson("01")
    with pytest.raises(ValueError, match="01_kl_regularized_rl"):
        find_lesson("01_kl_regularised_rl")
    with pytest.raises(ValueError, match="no lesson 18"):
        find_lesson(18)


def test_the_outline_is_consistent():
    assert [lesson.number for lesson in LESSONS] == list(range(18))
    for lesson in LESSONS:
        assert lesson.slug.startswith(f"{lesson.number:02d}_")
        assert lesson.work_minutes <= 90
        assert all(number < lesson.number for number in lesson.prerequisites)
