"""Show a short card in a notebook: HTML where it can be drawn, plain text everywhere else."""

import html
import re
import sys

# Okabe and Ito's palette, told apart by color-blind readers, and a darker tone of each for text.
EDGES = {"green": "#009E73", "red": "#D55E00", "orange": "#E69F00", "blue": "#0072B2"}
INKS = {"green": "#00735A", "red": "#A84300", "orange": "#8A5A00", "blue": "#005A8E"}


def show(rich: str, plain: str) -> None:
    """Display `rich` (HTML) in a notebook; print `plain` where there is no IPython."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(plain)
        return
    ipython.display.display({"text/html": rich, "text/plain": plain}, raw=True)


def card(title: str, body: str, color: str, kind: str) -> str:
    """HTML of a card with a colored edge. `body` is HTML, `title` is text.

    The card brings its own background and text color: it reads the same in every theme.
    """
    return (
        f'<div class="rlcourse-card rlcourse-{kind}" role="status" style="max-width:760px;'
        f"margin:4px 0;padding:10px 16px;border:1px solid #E5E7EB;border-left:6px solid "
        f"{EDGES[color]};border-radius:6px;background-color:#FFFFFF;color:#1F2937;"
        'font-family:system-ui,sans-serif;font-size:14px;line-height:1.5">'
        f'<b style="color:{INKS[color]}">{html.escape(title)}</b>'
        f"<div>{body}</div></div>"
    )


def paragraph(text: str) -> str:
    """Plain text as HTML, with its line breaks, and code between backticks."""
    code = r'<code style="background-color:#F3F4F6;color:#1F2937">\1</code>'
    return re.sub(r"`([^`]+)`", code, html.escape(text)).replace("\n", "<br>")


def announce(title: str, text: str, color: str, kind: str) -> None:
    """Show a card whose body is plain text."""
    show(card(title, paragraph(text), color, kind), f"{title}\n{text}")
