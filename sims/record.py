"""`flatmin simulate`: moments and paths of a study's own algorithm, with a record of how they were made."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput
from flatmin.theory.effective import effective
from flatmin.theory.errors import NotApplicable
from flatmin.theory.geometry import nearest_zero_loss_point
from flatmin.theory.study import Study
from numpy.typing import NDArray

from .engine import simulate
from .ensemble import Ensemble
from .jsonfile import check_writable, finite, write_whole
from .kernel import Kernel
from .progress import Progress
from .random import claim_key

__all__ = ["simulate_study"]

Array = NDArray[np.float64]

# Replicas whose recorded points are in memory together.
_PIECE = 1 << 13
_MOST_BYTES = 4 * 2**30


def simulate_study(
    study: Study,
    label: str,
    out: Path,
    progress: Progress,
    *,
    replicas: int,
    steps: int,
    records: int,
    paths: int,
    threads: int | None,
    seed: int | None,
) -> Ensemble:
    """Simulate a study at its own noise strength and write `out` (.npz) and its .json.

    The .npz holds `steps` (M,), `mean` (M, d) and `covariance` (M, d, d) over the replicas that stayed in bounds,
    `paths` (M, d, p) of the first p replicas, and `status` (N,): -1, or the step at which a replica left.

    Parameters
    ----------
    study : Study
    label : str
        How the caller names the study.
    out : Path
    progress : Progress
    replicas, steps, records, paths : int
        Replicas, steps of each, how many steps are recorded, how many replicas are kept whole.
    threads, seed : int or None
        None: all cores; the study's seed.

    Raises
    ------
    CannotWrite
        When the files cannot be written; found out before anything runs.
    """
    if out.suffix != ".npz":
        raise InvalidInput("--out", f"={str(out)!r} must end in .npz")
    record = out.with_suffix(".json")
    check_writable("--out", out)
    check_writable("--out", record)
    model, algorithm = study.model, study.algorithm
    try:
        start = nearest_zero_loss_point(effective(model, algorithm)[0], study.start)
    except NotApplicable:
        # A simulation needs no theorem: without a zero-loss point it starts where the study says.
        start = study.start
    schedule = np.unique(np.rint(np.linspace(0, steps, min(records, steps) + 1)).astype(np.int64))
    used_seed = study.run.seed if seed is None else seed
    size = 8 * len(schedule) * model.d * (paths + _PIECE)
    if size > _MOST_BYTES:
        raise InvalidInput("--paths", f"={paths} with {len(schedule)} records need {size / 2**30:.1f} GiB; keep fewer")
    progress.claim(label, 0, 1)
    progress.phase("compiling", 0)
    kernel = Kernel.for_algorithm(model, algorithm)
    progress.phase("simulating", float(steps) * replicas)
    pieces: list[Ensemble] = []
    sums = _Sums()
    for first in range(0, replicas, _PIECE):
        piece = simulate(
            kernel,
            algorithm,
            None,
            start,
            min(_PIECE, replicas - first),
            schedule,
            key=(claim_key("simulate"),),
            seed=used_seed,
            threads=threads,
            first=first,
            on_progress=progress.advance,
        )
        sums.add(piece.points[:, :, ~piece.failed])
        kept = max(0, min(paths, replicas) - first)
        pieces.append(replace(piece, points=piece.points[:, :, :kept].copy()))
    ensemble = _joined(pieces)
    mean, covariance = sums.mean, sums.covariance
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        steps=schedule,
        mean=mean,
        covariance=covariance,
        paths=ensemble.points,
        status=ensemble.status,
    )
    write_whole("--out", out, buffer.getvalue())
    made = {
        "flatmin": version("flatmin"),
        "study": label,
        "file": os.path.basename(out),
        "parameters": [p.name for p in model.parameters],
        "prediction": [str(e) for e in model.prediction],
        "lr": algorithm.lr,
        "batch_size": algorithm.batch_size,
        "sampling": algorithm.sampling,
        **_described(algorithm, study),
        "start": start.tolist(),
        "replicas": replicas,
        "out_of_bounds": int(ensemble.failed.sum()),
        "steps": steps,
        "seed": used_seed,
        "key": list(ensemble.key),
        "replica_steps": ensemble.replica_steps,
        "seconds": round(ensemble.seconds, 3),
    }
    write_whole("--out", record, (json.dumps(finite(made), indent=1, allow_nan=False) + "\n").encode())
    return ensemble


def _described(algorithm: Algorithm, study: Study) -> dict[str, Any]:
    """Rule, noise and loss, with all their numbers."""
    model, rule = study.model, algorithm.update_rule
    return {
        "noise": {"kind": algorithm.noise.kind, **algorithm.noise.values(model)},
        "rule": {"name": type(rule).__name__, **rule.constants},
        "repeats": algorithm.repeats,
        "loss": str(model.sample_loss),
    }


class _Sums:
    """Mean (M, d) and covariance (M, d, d) over replicas that come in pieces; NaN without replicas.

    References
    ----------
    Chan, Golub, LeVeque, *Algorithms for computing the sample variance*, The American Statistician 37 (1983).
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, points: Array) -> None:
        """Add replicas, points of shape (M, d, N)."""
        records, d, count = points.shape
        if not self.count:
            self.mean, self.squares = np.full((records, d), np.nan), np.full((records, d, d), np.nan)
        if not count:
            return
        mean = points.mean(axis=2)
        centred = points - mean[:, :, None]
        squares = np.einsum("mar,mbr->mab", centred, centred, optimize=True)
        if not self.count:
            self.count, self.mean, self.squares = count, mean, squares
            return
        total, apart = self.count + count, mean - self.mean
        self.squares += squares + np.einsum("ma,mb->mab", apart, apart) * (self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    @property
    def covariance(self) -> Array:
        """With the number of replicas less one."""
        return np.asarray(self.squares / max(self.count - 1, 1))


def _joined(pieces: list[Ensemble]) -> Ensemble:
    """One ensemble with the paths that were kept."""
    return replace(
        pieces[0],
        points=np.concatenate([p.points for p in pieces], axis=2),
        status=np.concatenate([p.status for p in pieces]),
        replica_steps=sum(p.replica_steps for p in pieces),
        seconds=sum(p.seconds for p in pieces),
    )
