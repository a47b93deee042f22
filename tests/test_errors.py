"""An error is one line that a terminal only shows."""

from __future__ import annotations

from genrun.errors import LONGEST_LINE, Refused, one_line, print_error, printable


def test_what_a_terminal_would_obey_is_written_out():
    assert printable("a\x1b[31mb\x9b\x07\r\x00\x7f") == r"a\x1b[31mb\x9b\x07\r\x00\x7f"
    assert printable("\u202e\u2066\u2028\udcff") == r"\u202e\u2066\u2028\udcff"
    assert printable(text := "Fréchet ± 日本語 👩‍🔬\ttwo\nlines") == text


def test_an_error_is_one_short_line(capsys):
    assert print_error(Refused("two\nlines \x1b[31m")) == 2
    assert capsys.readouterr().err == "genrun: two lines \\x1b[31m\n"
    assert len(one_line(Refused("x" * 10**6))) < LONGEST_LINE + 5
    assert one_line(Refused()) == "Refused"
