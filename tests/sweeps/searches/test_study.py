"""Studies: the space that Hydra's words say, and a journal that was cut off."""

from __future__ import annotations

import pytest

from genrun.errors import Refused
from genrun.sweeps.grid import parse_overrides
from genrun.sweeps.searches.study import cut_incomplete_line, to_distribution

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=choice(x,3)", optuna.distributions.CategoricalDistribution(["x", "3"])),
        ("a=mnist,digits", optuna.distributions.CategoricalDistribution(["mnist", "digits"])),
        ("a=range(1,8,2)", optuna.distributions.IntDistribution(1, 7, step=2)),
        ("a=int(interval(1,8))", optuna.distributions.IntDistribution(1, 8)),
        ("a=interval(0.5,8)", optuna.distributions.FloatDistribution(0.5, 8)),
        ("a=tag(log,interval(1e-4,1e-2))", optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)),
    ],
)
def test_the_space_is_what_hydras_words_say(text, expected):
    assert to_distribution(parse_overrides([text])[0]) == expected


def test_a_space_that_cannot_be_drawn_from_is_refused():
    with pytest.raises(Refused, match="no choice of a matches; it is no group"):
        to_distribution(parse_overrides(["a=glob(x*)"])[0])
    with pytest.raises(Refused, match="interval"):
        to_distribution(parse_overrides(["a=tag(log,interval(-1.0,1.0))"])[0])


def test_a_journal_that_was_cut_off_is_mended(tmp_path):
    journal = tmp_path / "journal.log"
    for content, whole in ((b'{"a":1}\n{"b"', b'{"a":1}\n'), (b'{"a":1}\n', b'{"a":1}\n'), (b"{", b""), (b"", b"")):
        journal.write_bytes(content)
        cut_incomplete_line(journal)
        assert journal.read_bytes() == whole
