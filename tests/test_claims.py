"""The catalogue explains itself: every study has an [about], a page that says the same, and can be chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import flatmin, forbid_simulation, study
from flatmin.sims import catalogue
from flatmin.sims.explain import explained
from flatmin.theory import InvalidInput
from flatmin.theory.about import About
from flatmin.theory.study import read_study

PAGES = Path(__file__).parents[1] / "docs" / "claims"


@pytest.mark.parametrize("name", catalogue.names())
def test_every_study_says_what_it_is_about(name):
    one = catalogue.load(name)
    about = one.about
    assert all((about.theorem, about.section, about.statement, about.hypotheses, about.source, about.refuted_by))
    # Written by: flatmin claims NAME > docs/claims/NAME.md
    assert (PAGES / f"{name}.md").read_text() == explained(one)


def test_there_is_no_page_without_a_study():
    assert sorted(p.stem for p in PAGES.glob("*.md") if p.stem != "index") == list(catalogue.names())


def test_claims_prints_the_page():
    assert flatmin("claims", "uv").stdout == (PAGES / "uv.md").read_text()


def test_a_study_without_about_is_as_before(tmp_path):
    one = read_study(study(tmp_path))
    assert one.about == About()
    page = explained(one)
    assert "Hypotheses" not in page
    assert "f = u*v" in page


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"theorem": 1}, "about.theorem"),
        ({"statement": "x" * 2001}, "about.statement"),
        ({"hypotheses": "one"}, "about.hypotheses"),
        ({"hypotheses": ["one", 2]}, r"about.hypotheses\[1\]"),
        ({"quick": 1}, "about.quick"),
    ],
)
def test_bad_values_are_refused(values, field):
    with pytest.raises(InvalidInput, match=f"^{field}"):
        About(**values)


def test_an_unknown_key_of_about(tmp_path):
    path = study(tmp_path)
    path.write_text('[about]\nstatment = "x"\n' + path.read_text())
    with pytest.raises(InvalidInput, match=r"about\.statment is not a known key; did you mean .statement"):
        read_study(path)


class TestChoice:
    def test_quick(self):
        quick = catalogue.chosen(quick=True)
        assert 3 <= len(quick) < len(catalogue.names())
        assert all(one.about.quick for one in quick)

    def test_part_of_a_name_of_a_study_or_a_claim(self):
        assert {s.name for s in catalogue.chosen(only="LAMBDA-SCALING")} == {f"lambda-scaling-{k}" for k in (1, 2, 3)}
        assert [s.name for s in catalogue.chosen(only="q decays")] == ["uv-exact-decay"]

    def test_section_of_the_paper(self):
        assert {s.name for s in catalogue.chosen(section="6")} == {"large-lr", "linear-scaling-breaks"}
        assert not About(section="31").in_section("3")
        assert About(section="3.1").in_section("3")

    @pytest.mark.parametrize(
        ("option", "field"), [({"only": "nothing like it"}, "--only"), ({"section": "99"}, "--paper-section")]
    )
    def test_an_empty_choice_is_an_error(self, option, field):
        with pytest.raises(InvalidInput, match=f"^{field}="):
            catalogue.chosen(**option)

    def test_command(self, monkeypatch, tmp_path):
        forbid_simulation(monkeypatch)
        result = flatmin("verify", "--only", "nothing like it", status=2)
        assert result.stderr.startswith("flatmin: --only='nothing like it'")
        result = flatmin("verify", study(tmp_path), "--quick", status=2)
        assert "leave STUDY out" in result.stderr

    def test_levels_are_corrected_for_the_chosen_studies(self, monkeypatch):
        from flatmin.sims import verification

        seen = []

        def note(*_, studies, **__):
            seen.append(studies)
            return iter(())

        monkeypatch.setattr(verification, "verify_each", note)
        flatmin("verify", "--only", "lambda-scaling", "--quiet")
        assert seen == [3, 3, 3]


def test_the_table_of_several_studies_shows_statement_prediction_and_measurement(tmp_path, monkeypatch):
    one = replace(read_study(study(tmp_path)), about=About("Theorem 1", "2", "It drifts."))
    monkeypatch.setattr(catalogue, "chosen", lambda *_: [one, replace(one, name="again")])
    shown = flatmin("verify", "--margin", 0.1).stdout
    for text in ("Theorem 1, Section 2", "It drifts.", "predicted", "measured", "again", "supported"):
        assert text in shown
