"""`flatmin claims`: what a study states, under which hypotheses, where that is written, and what would refute it."""

from __future__ import annotations

import inspect
from textwrap import fill

from flatmin.theory.rules import SGD
from flatmin.theory.study import Study

from .experiments import EXPERIMENTS, load

__all__ = ["explained", "explained_experiment", "listed", "listed_experiment", "setting"]

_WIDTH = 110


def listed(study: Study) -> list[str]:
    """Lines of the list: the study, what it states, its claims."""
    algorithm, about = study.algorithm, study.about
    size = f"lr = {algorithm.lr:g}, batch_size = {algorithm.batch_size}"
    lines = [f"{study.name}  {study.model!r}, {size}"]
    if about.statement:
        lines.append(fill(f"{_place(study)}{about.statement}", _WIDTH, initial_indent="  ", subsequent_indent="  "))
    return lines + [f"  {c.kind:<12} {c.theory:<11} {c.name}".rstrip() for c in study.claims]


def explained(study: Study) -> str:
    """The page of one study, as docs/claims/ holds it for the catalogue (Markdown)."""
    about = study.about
    parts = [f"# {study.name}"]
    if about.statement:
        parts.append(_wrapped(f"{_place(study)}{about.statement}"))
    if about.hypotheses:
        parts.append("Hypotheses:\n\n" + "\n".join(_wrapped(f"- {h}", "  ") for h in about.hypotheses))
    shown = ", ".join(map(str, study.model.prediction))
    lines = [
        f"- model: `f = {shown}`; parameters {', '.join(p.name for p in study.model.parameters)}; n = {study.model.n}",
        *(f"- {name}: {value}" for name, value in setting(study)),
        f"- margin {100 * study.run.margin:g} %, confidence {study.run.confidence:g}",
    ]
    parts.append("Tested on:\n\n" + "\n".join(_wrapped(line, "  ") for line in lines))
    claims = [f"- {c.kind}, theory {c.theory}{f': {c.name}' if c.name else ''}" for c in study.claims]
    parts.append("Claims:\n\n" + "\n".join(_wrapped(line, "  ") for line in claims))
    if about.refuted_by:
        parts.append(_wrapped(f"Refuted by: {about.refuted_by}"))
    if about.source:
        parts.append(_wrapped(f"Source: {about.source}"))
    return "\n\n".join(parts) + "\n"


def setting(study: Study) -> list[tuple[str, str]]:
    """What runs on the model, and from where, by name."""
    model, algorithm = study.model, study.algorithm
    size = f"learning rate {algorithm.lr:g}, batch size {algorithm.batch_size}, {algorithm.sampling}"
    return [
        ("algorithm", f"{size}, {algorithm.noise}{_rule(study)}"),
        *([("loss", model.loss_name)] if model.loss_name != "square" else []),
        ("start", ", ".join(f"{p.name} = {v:g}" for p, v in zip(model.parameters, study.start))),
    ]


def listed_experiment(name: str) -> list[str]:
    """Lines of the list: the experiment, what it shows, how to run it."""
    entry = EXPERIMENTS[name]
    return [f"{name}  an experiment: flatmin experiment {name}", _wrapped(f"  {entry.summary}", "  ")]


def explained_experiment(name: str) -> str:
    """The page of an experiment: what its script says of itself, and how to run it."""
    entry = EXPERIMENTS[name]
    ways = (
        f"Run it: flatmin experiment {name} (minutes; needs the extra `experiments`). Its statements are decided there."
    )
    says = inspect.cleandoc(load(name).__doc__ or "")
    return "\n\n".join((f"# {name}", says, _wrapped(ways), _wrapped(f"Source: {entry.source}"))) + "\n"


def _place(study: Study) -> str:
    return f"{study.about.place}: " if study.about.place else ""


def _rule(study: Study) -> str:
    return "" if isinstance(study.algorithm.update_rule, SGD) else f", {study.algorithm.update_rule}"


def _wrapped(text: str, indent: str = "") -> str:
    return fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
