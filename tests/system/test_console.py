"""A text from elsewhere cannot command the terminal."""

from __future__ import annotations

import io
import json

from rich.progress import Progress
from rich.table import Table

from genrun.report.tables import markdown, table
from genrun.system.console import Screen, print_json, say, with_progress

HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J\r\u202egnp"
SHOWN = r"\x1b[31mred\x1b]0;t"


def shown(show) -> str:
    """What a console shows, on a terminal with colours."""
    screen = Screen(file=(file := io.StringIO()), force_terminal=True, width=300, color_system=None)
    show(screen)
    return file.getvalue()


def test_what_a_terminal_would_obey_is_written_out_in_lines_tables_and_bars():
    def bar(screen: Screen) -> None:
        with Progress(console=screen) as progress:
            progress.add_task(HOSTILE, total=1)

    plain = Table(title=HOSTILE)
    plain.add_column(HOSTILE)
    for show in (
        lambda screen: say(screen, HOSTILE),
        lambda screen: screen.print(HOSTILE),
        lambda screen: screen.print(table(HOSTILE, ["metric", "", ""], [[HOSTILE, HOSTILE, HOSTILE]])),
        lambda screen: screen.print(plain),
        bar,
    ):
        text = shown(show)
        assert SHOWN in text
        assert not [command for command in ("\x1b[31m", "\x1b]", "\x07", "\x9b", "\u202e") if command in text]


def test_the_console_s_own_colours_and_line_breaks_are_kept():
    screen = Screen(
        file=(file := io.StringIO()), force_terminal=True, width=80, color_system="standard", no_color=False
    )
    screen.print("one\ntwo", style="red")
    assert file.getvalue() == "\x1b[31mone\x1b[0m\n\x1b[31mtwo\x1b[0m\n"


def test_a_table_as_markdown_has_no_control_characters():
    assert "\x1b" not in markdown(HOSTILE, ["metric", "value"], [[HOSTILE, "1"]])


def test_json_for_a_program_is_readable_and_harmless(capsys):
    print_json({"a": "Fréchet"})
    assert '"Fréchet"' in capsys.readouterr().out
    print_json({"a": "\x9b31mFréchet\u202e"})
    out = capsys.readouterr().out
    assert out.isascii() and json.loads(out) == {"a": "\x9b31mFréchet\u202e"}


def test_a_bar_names_the_part_in_work_also_when_the_part_has_a_bar_of_its_own():
    def work(screen: Screen) -> None:
        for part in with_progress(["curves", "t-SNE"], 2, "drawing", screen, str.upper):
            assert [*with_progress([1], 1, f"inside {part}", screen)] == [1]

    text = shown(work)
    assert text.index("drawing: CURVES") < text.index("inside curves") < text.index("drawing: T-SNE")


def test_where_there_is_no_terminal_one_line_says_what_is_done():
    screen = Screen(file=(file := io.StringIO()), width=80)
    assert [*with_progress(["curves", "t-SNE"], 2, "drawing", screen, str.upper)] == ["curves", "t-SNE"]
    assert file.getvalue() == "drawing\n"
