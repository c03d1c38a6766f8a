"""The self-test sees vector code, and a kernel that fell back to scalar code."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner
from flatmin.sims import cache, cli, doctor
from flatmin.sims.cache import build_module
from flatmin.sims.codegen import generate, generate_moments
from flatmin.sims.kernel import Kernel
from flatmin.sims.kernel_ways import Way, way_text
from flatmin.sims.lanes import FULL, GAUSSIAN, RADEMACHER
from flatmin.sims.linear_kernel import linear_text
from kernel_models import tanh_model, uv_model


def assembly(text, folder):
    return cache.assembly(build_module(text, folder))


@pytest.mark.parametrize("make", [uv_model, tanh_model])
def test_generated_kernels_are_vector_code(make, tmp_path):
    finding = doctor.instructions(assembly(generate(make()), tmp_path))
    assert finding.good, finding


def test_sums_and_the_linear_process_are_vector_code(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert doctor.instructions(assembly(generate_moments(uv_model()), tmp_path / "a")).good
    assert doctor.instructions(
        assembly(linear_text(Way(FULL, RADEMACHER), plain=True, counted=False), tmp_path / "b")
    ).good


def unoptimized(text):
    """What a lost attribute or an unlucky index does to a loop: LLVM leaves it as it is."""
    wanted = 'set.add(function.attributes, "noinline")'
    assert text.count(wanted) == 1
    return text.replace(wanted, f'{wanted}; set.add(function.attributes, "optnone")')


def test_scalar_instructions_are_seen(tmp_path):
    """In loops over replicas: what is vectors outright stays vectors."""
    text = way_text(generate(uv_model()), Way(FULL, GAUSSIAN))
    (tmp_path / "right").mkdir()
    assert doctor.instructions(assembly(text, tmp_path / "right")).good
    finding = doctor.instructions(assembly(unoptimized(text), tmp_path))
    assert finding.good is False
    assert "report" in finding.advice


def test_machine_code_with_addresses_in_it_is_not_taken_by_another_process(tmp_path):
    text = way_text(generate(uv_model()), Way(FULL, GAUSSIAN))
    for name, made in (("right", text), ("addresses", unoptimized(text))):
        (tmp_path / name).mkdir()
        build_module(made, tmp_path / name)
        known = json.loads((tmp_path / name / "code.json").read_text())
        assert known["run"]["lasting"] == (name == "right")


class Slow(Kernel):
    """A kernel that takes eight times as long, as scalar code may."""

    def advance(self, block, *arguments, **options):
        for _ in range(7):
            super().advance(copy.deepcopy(block), *arguments, **options)
        super().advance(block, *arguments, **options)


def test_a_slow_kernel_is_seen(uv):
    assert doctor.speed(Slow(uv.model, uv.source), steps=2000).good is False


def test_the_right_kernel_is_fast_enough(uv):
    assert doctor.speed(uv).good


def test_the_command_says_what_is_wrong(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    findings = [doctor.Finding("numpy", "2"), doctor.Finding("speed", "slow", False, "buy a faster one")]
    monkeypatch.setattr(doctor, "diagnose", lambda: iter(findings))
    result = CliRunner().invoke(cli.main, ["doctor"])
    assert result.exit_code == 4
    assert "! speed" in result.output
    assert "buy a faster one" in result.output
    assert "1 of the checks failed" in result.output


def test_a_cache_that_cannot_be_written_is_seen(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLATMIN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    finding = doctor._cache()
    assert finding.good is False
    assert "FLATMIN_CACHE_DIR" in finding.advice


def test_all_is_well_here():
    result = CliRunner().invoke(cli.main, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "the kernel agrees" in result.output
