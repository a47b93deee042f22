"""HTML pages from the templates of this folder: everything is escaped, and the page itself forbids the browser to use the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import genrun
from genrun.errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = f"genrun {genrun.__version__}"
# runs before the page is shown, so that what a script will hide is not seen first
MARK_SCRIPTED = 'document.documentElement.classList.add("scripted");'


def render(template: str, *, scripts: Sequence[str] = (), same_origin: bool = False, **values: Any) -> str:
    """Return the page that a template makes.

    Templates extend base.html, which has the style sheet and these blocks: `title`, `header` (beside `main`, with the h1), `main`,
    `footer`. Texts are escaped. The filter `sentence` makes a text a sentence. JSON for a script is written as
    `<script type="application/json">{{ content | tojson }}</script>`.

    Args:
        template: the name of a file in genrun/report/templates, such as `report.html`.
        scripts: JavaScript that runs at the end of the page, in this order. The page allows no other script, and no event attributes
            such as onclick.
        same_origin: whether the page may load pictures and data from the server that it came from; otherwise it loads nothing.
        values: for the template.
    """
    scripts = [MARK_SCRIPTED, *scripts] if scripts else []
    if any("</script" in script.lower() or "<!--" in script for script in scripts):
        raise ValueError("a script that is written into a page must not have </script or <!-- in it")
    page = {
        "scripts": scripts,
        "policy": policy(scripts, same_origin=same_origin),
        "style": read_template("style.css"),
        "generator": GENERATOR,
    }
    return _environment().get_template(template).render(**page, **values)


def policy(scripts: Sequence[str], *, same_origin: bool) -> str:
    """Return the Content-Security-Policy of a page: the network is forbidden, and only these scripts run."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    rules = {
        "default-src": ["'none'"],
        "script-src": hashes or ["'none'"],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:", *(["blob:", "'self'"] if same_origin else [])],
        "connect-src": ["'self'" if same_origin else "'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in rules.items())


def read_template(name: str) -> str:
    """Return the text of a style sheet or a script in genrun/report/templates."""
    return resources.files("genrun.report").joinpath("templates", name).read_text()


def sentence(text: str) -> str:
    """Write a text as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(read_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["sentence"] = sentence
    return made


def _visible(value: Any) -> Any:
    """Write out the characters of a text that change how the text around them is shown, such as those that reverse it."""
    return printable(value) if type(value) is str else value
