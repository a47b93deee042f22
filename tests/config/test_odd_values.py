"""Whatever value an option is given: the run can be built, or is refused in one line before training."""

from __future__ import annotations

import re
import signal
from functools import cache

import pytest
import torch
from conftest import genrun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrun.compat import dotted_keys
from genrun.config.compose import compose, group_choices
from genrun.errors import Refused

SECONDS = 60  # an override that takes longer never ends
SMALL = ("data=digits", "evaluation=quick", "evaluation.epoch_samples=0", "sample.n=300")


class TooLong(BaseException):
    """An override takes so long that it probably never ends."""


def stop_waiting(signum, frame):
    raise TooLong


@pytest.fixture
def build(here, monkeypatch, capsys):
    """Build a run as --dry-run does, but train no batch: words → exit status and what was printed to stderr."""

    def built(context):
        raise Refused("built")

    def start(*words: str) -> tuple[int, str]:
        signal.alarm(SECONDS)
        try:
            status = genrun(*SMALL, *words, "--dry-run", monkeypatch=monkeypatch)
        finally:
            signal.alarm(0)
        error = capsys.readouterr().err
        return (0, "") if error == "genrun: built\n" else (status, error)

    monkeypatch.setattr("genrun.dry_run.timed_phases", built)
    threads, handler = torch.get_num_threads(), signal.signal(signal.SIGALRM, stop_waiting)
    yield start
    signal.signal(signal.SIGALRM, handler)
    torch.set_num_threads(threads)


# (an override, what the line says)
REFUSED = [
    ("model.optimizer.lr=fast", r"model.optimizer.lr: expected a number"),
    ("model.optimizer.lr=[1]", r"model.optimizer.lr: expected a number"),
    ("paths=1e309", r"paths: expected the options of this section"),
    ("sample=x", r"sample: expected the options of this section"),
    ("run=a.b.c", r"run=a.b.c: expected the options of run, such as run.dry_run=…"),
    ("data.seed=null", r"data.seed: expected an integer"),
    ("++data.seed={_target_:x}", r"data.seed: expected an integer"),
    ("data.validation=nan", r"data.validation: expected a finite number"),
    ("evaluation.classifier={a:1}", r"evaluation.classifier.a: no such option"),
    ("callbacks={a:1}", r"callbacks=\{a:1\}: expected the name of a choice; there are default, none"),
    ("callbacks=1e9", r"callbacks=1e9: expected the name of a choice"),
    ("model=[null]", r"model=\[null\]: expected the name of a choice"),
    ("callbacks.watching=1e9", r"callbacks.watching: expected entries with a name"),
    ("callbacks.training=x", r"callbacks.training: expected entries with a name"),
    ("callbacks.watching.samples=null", r"callbacks.watching.samples: expected options .* ~callbacks.watching.samples"),
    ("callbacks.watching.samples.columns=[1,2]", r"callbacks.watching.samples.columns: expected an integer"),
    ("callbacks.watching.samples.every=0", r"callbacks.watching.samples: every: expected at least 1, got 0"),
    (
        "+callbacks.training.x={_target_:os.getcwd}",
        r"x._target_=os.getcwd: expected a callback of Lightning, got a str",
    ),
    ("+logger.x={_target_:builtins.dict}", r"logger.x._target_=builtins.dict: expected a logger of Lightning"),
    ("trainer._target_=builtins.dict", r"trainer._target_=builtins.dict: expected pytorch_lightning.Trainer"),
    ("data._target_=builtins.dict", r"data._target_=builtins.dict: expected genrun.data.module.ImageData"),
    ("evaluation._target_=builtins.dict", r"evaluation._target_=builtins.dict: expected genrun.evaluation.judge.Judge"),
    ("model._target_=genrun.methods", r"model._target_=genrun.methods: expected a class or a function, got a module"),
    ("trainer.max_epochs=99999999999999999999999", r"trainer.max_epochs: expected a whole number of at most"),
    ("run.checkpoint_minutes=nan", r"run.checkpoint_minutes: expected a finite number"),
    ("run.checkpoint_minutes=-1", r"run.checkpoint_minutes: expected at least 0"),
    ("data.source._partial_={a:1}", r"data.source._partial_: expected true or false"),
    ("data.source._partial_=false", r"data.source: expected .*, got what digits returns"),
    ("model.encoder._partial_=null", r"model.encoder._partial_: expected true or false"),
    ("+model.likelihood._partial_=true", r"model.likelihood: expected a Likelihood, got a function that makes one"),
    ("model.optimizer.betas=[0.9]", r"model.optimizer.betas: expected"),
    ("model.schedule=${x}", r"model.schedule=\$\{x\}: Interpolation key 'x' not found"),
    ("seed=${oc.env:NO_SUCH}", r"seed=.*: Environment variable 'NO_SUCH' not found"),
    ("run.name=${model}", r"run.name="),
    ("model.beta=???", r"model.beta: expected a value, got none"),
    ("hardware.threads=9223372036854775807", r"hardware.threads: expected at most 1024"),
    ("evaluation.classifier.network.width=9223372036854775807", r"evaluation: "),
    ("data.facts=x", r"data.facts: expected the facts, which are read from the data"),
    ("~trainer.accumulate_grad_batches", r"trainer.accumulate_grad_batches: this option is needed"),
    ("paths.cache='~nobody-here/x'", r"paths.cache=~nobody-here/x: there is no such user"),
    ("sweep=[true]", r"sweep=\[true\]: cannot be set"),
    ("model=${x}", r"\$\{x\} cannot name a choice of a group"),
    ("=3", r"cannot read '=3': expected option=value"),
]


@pytest.mark.parametrize(("word", "line"), REFUSED, ids=[word for word, _ in REFUSED])
def test_a_value_that_cannot_be_is_refused_in_one_line_before_training(word, line, build):
    status, error = build("model=vae", word)
    assert status == 2 and error.count("\n") == 1 and re.search(line, error), error


ODD = (
    *("1e309", "nan", "-1", "0", "1", "1.5", "1e9", "1e-300", "99999999999999999999999", "9223372036854775807", "-0.0"),
    *("x", "a.b.c", "''", "null", "true", "[]", "[1,2]", "[x]", "[nan]", "[[1]]", "[null]", "{}", "{a:1}", "{1:2}"),
    *("{_target_:os.getcwd}", "{_target_:x}", "???", "'${x}'", "'${data.name}'", "'${oc.env:NO_SUCH}'", "'${'", "auto"),
    *("'../x'", "'%s'", "12:30:45", "1_000", "é", "a b (c)"),
)


@cache
def keys(model: str) -> list[str]:
    """All groups and all dotted keys of the configuration of a model."""
    cfg = compose([f"model={model}"])
    groups = [group for group in group_choices() if group.partition("/")[0] in cfg and "hydra" not in group]
    return [*groups, *dotted_keys(cfg)]


@st.composite
def overrides(draw) -> list[str]:
    model = draw(st.sampled_from(["vae", "csgm", "gan", "rbm"]))
    key = draw(st.sampled_from(keys(model)))
    value = draw(st.sampled_from(ODD) | st.integers().map(str) | st.floats().map(str))
    word = draw(st.sampled_from([f"{key}={value}"] * 6 + [f"++{key}={value}", f"+{key}.x={value}", f"~{key}"]))
    return [f"model={model}", word]


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=overrides())
def test_any_override_ends_with_0_or_2_and_at_most_one_line(words, build):
    status, error = build(*words)
    assert status in (0, 2), error
    # a name of Python's errors would mean that genrun did not foresee it
    assert not status or (error.count("\n") == 1 and not re.search(r"genrun: \w*(Error|Exception)\b", error)), error
