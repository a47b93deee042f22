"""`genrun explore RUN`: look at a trained run in the browser: samples, codes, resolutions, closest training images."""

from __future__ import annotations

import webbrowser
from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING

from genrun.errors import GenrunError, Refused, one_line
from genrun.runs.find import find_run
from genrun.system.console import say, screen
from genrun.verbs.arguments import Arguments, check_drawing, need_torch, open_checked, outputs_folder

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from genrun.data.images import Images
    from genrun.explore.explorer import Explorer
    from genrun.runs.open import OpenRun

PORTS = range(1024, 65536)
OPTIONS = ("paths.data=", "paths.cache=", "hardware.")


def main(arguments: list[str]) -> int:
    """Serve the page of a run until Ctrl-C; the run folder is not changed."""
    asked = parse(arguments)
    words, outputs = outputs_folder(asked.words)
    of_model = [word for word in words if word.startswith(("model.", "model/"))]
    options = [word for word in words if word.startswith(OPTIONS)]
    named = [word for word in words if word not in (*of_model, *options)]
    if len(named) > 1:
        raise Refused(f"expected one run, got {len(named)}: {', '.join(named[:5])}")
    run = open_checked(
        find_run(named[0] if named else "last", outputs), of_model, asked.config_dir, trust=asked.trust, trained=True
    )
    if run.facts.image_shape[1:] == (1, 1):
        raise Refused(
            f"{run.folder.path}: its data are points, which are no pictures to look at; `genrun show` names its figures"
        )
    need_torch()
    say(screen(), f"opening {run.folder.path} …")
    serve(run, *explorer_of(run, options, of_model, asked), asked)
    return 0


def parse(arguments: list[str]) -> Namespace:
    """Parse the command line.

    Raises:
        Refused: an option is wrong.
    """
    parser = Arguments(
        "genrun explore",
        description="Look at a trained run in the browser, on this machine only: samples by class, sliders on the principal directions of "
        "its codes, what lies between two images, other resolutions, the steps of a sampler, and the closest training images. What is "
        "offered depends on what the method can do. Options of its model that do not change the weights can be set again.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN | option=value",
        help="a folder, an id, its beginning, last or best (default: last); model.option=value, paths.data=folder",
    )
    parser.add_argument("--port", type=int, default=0, help="the port of the server (default: a free one)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--config-dir", help="a folder of your own groups")
    parser.add_argument("--trust", action="store_true", help="also build classes that are not of genrun or torch")
    asked = parser.parse_intermixed_args(arguments)
    if asked.port and asked.port not in PORTS:
        raise Refused(f"--port: expected {PORTS.start} to {PORTS.stop - 1}, got {asked.port}")
    return asked


def explorer_of(run: OpenRun, options: list[str], of_model: list[str], asked: Namespace) -> tuple[Explorer, str]:
    """Build the explorer of a run, and a line on what is missing, which is empty if nothing is.

    Args:
        options: words for the machine: where the data is, and the device.
        of_model: words for the model.
    """
    from genrun.config.compose import compose
    from genrun.explore.explorer import Explorer
    from genrun.system.hardware import device_of
    from genrun.system.threads import set_threads
    from genrun.verbs.judges import config_to_judge_by

    here = compose(options, asked.config_dir)
    set_threads(here.hardware.threads)
    moved = any(word.startswith("paths.data=") for word in options)
    config = config_to_judge_by(run, here, moved=moved)
    method = run.method(trust=asked.trust).to(device_of(config))
    check_drawing(method, of_model)
    train, notice = training_images(run, config, trust=asked.trust)
    return Explorer(method, run.facts, train, config.sample.chunk), notice


def training_images(run: OpenRun, config: DictConfig, *, trust: bool) -> tuple[Images | None, str]:
    """Read the training images of a run; if they are not there, return None and a line that says so."""
    from genrun.verbs.judges import data_of

    try:
        return data_of(run, config, trust=trust)[1].train, ""
    except GenrunError as error:
        return None, f"Without the training data there are no closest images and fewer views: {one_line(error)}"


def serve(run: OpenRun, explorer: Explorer, notice: str, asked: Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from genrun.explore.page import page
    from genrun.explore.server import Server

    title = {
        "run": run.folder.path.resolve().name,
        "model": str(run.config.model.name),
        "data": str(run.config.data.name),
    }
    answers = {
        f"{kind}/{view}": partial(answer, view)
        for kind, answer in (("view", explorer.view), ("closest", explorer.closest))
        for view in explorer.views
    }
    console = screen()
    with Server(page(explorer, title, notice), answers, asked.port) as server:
        if notice:
            say(console, notice)
        say(console, f"{title['model']} on {title['data']}, {title['run']}: {', '.join(explorer.views)}")
        say(console, f"{server.url}\nCtrl-C ends it")
        if asked.open:
            webbrowser.open(server.url)
        server.serve_forever()
