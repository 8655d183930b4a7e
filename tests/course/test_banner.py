"""Cards are HTML in a notebook and plain text elsewhere; nothing in them becomes markup."""

import sys
import types

from rlcourse.course.banner import announce, card


def test_plain_text_without_a_notebook(capsys):
    announce("PASS", "Correct on `3` cases.", "green", "passed")
    assert capsys.readouterr().out == "PASS\nCorrect on `3` cases.\n"


def test_html_in_a_notebook(monkeypatch, capsys):
    shown = []
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: object()
    ipython.display = types.SimpleNamespace(display=lambda bundle, raw: shown.append(bundle))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    announce("FAIL", "It raises <b>:\nin the line: `x < y`", "red", "failed")
    (bundle,) = shown
    assert "&lt;b&gt;:<br>in the line: <code" in bundle["text/html"]
    assert "x &lt; y</code>" in bundle["text/html"]
    assert bundle["text/plain"].startswith("FAIL\nIt raises <b>")
    assert capsys.readouterr().out == ""


def test_cards_bring_their_own_colors():
    html = card("PASS", "", "green", "passed")
    assert "background-color:#FFFFFF" in html
    assert ";color:#1F2937" in html
    assert 'class="rlcourse-card rlcourse-passed"' in html
