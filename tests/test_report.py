"""Reports: `flatmin verify --report`, `flatmin report`, the page as text and in a real browser."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser, find_browser
from cli_runs import flatmin, forbid_simulation, study
from flatmin.sims import extras
from flatmin.sims.document import result_of
from flatmin.sims.report import write_report
from flatmin.sims.report.words import greek
from flatmin.theory import InvalidInput
from made_results import HOSTILE, STUDY, claim, document, fraction_claim

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements, links and texts of a page; closing tags must match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.ids, self.links, self.loads, self.words, self.open = [], [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.elements.append((tag, given))
        assert not [name for name in given if name.startswith("on")]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        self.loads += [given[name] for name in ("src", "srcset", "data", "action", "poster") if name in given]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


# Every shape is drawn in tests/sims/test_plots.py; here are fewer, for the time that figures take.
GOOD = document([entry for entry in document()["claims"] if entry["kind"] not in ("trajectory", "tensor")])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of claims of every shape, and one whose every text is hostile."""
    folder = tmp_path_factory.mktemp("reports")
    hostile = claim(
        "covariance", [[2.0, 1.0], [1.0, 3.0]], name=HOSTILE, study=HOSTILE, theory=HOSTILE, reason=HOSTILE,
        notes=[HOSTILE], parameters=[HOSTILE, "v"], verdict=HOSTILE,
        assumptions=[{"name": HOSTILE, "holds": False, "value": None, "rule": HOSTILE}],
        rivals=[{"theory": HOSTILE, "verdict": HOSTILE, "predicted": [[1, 0], [0, 1]], "reason": HOSTILE}],
    )  # fmt: skip
    quoted = json.dumps(HOSTILE, ensure_ascii=False)
    text = STUDY.replace('"The mean drifts by -eta lambda P grad R per step."', quoted).replace('"A source"', quoted)
    bad = document(
        [hostile], study=HOSTILE, command=HOSTILE, commit=HOSTILE, machine={HOSTILE: HOSTILE},
        flatmin='"><script>1</script>', studies=[{"name": HOSTILE, "text": text}],
    )  # fmt: skip
    write_report(GOOD, folder / "good")
    write_report(bad, folder / "bad")
    return folder


def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


class TestPage:
    def test_every_claim_is_there(self, made):
        shown = page(made / "good")
        for entry in GOOD["claims"]:
            assert entry["name"] in shown.text
            assert greek(entry.get("reason", "")) in shown.text
        assert "3 supported, 1 refuted, 1 inconclusive, 1 not-applicable" in shown.text
        # The word stands beside every colour.
        for word in ("✓ supported", "✗ refuted", "? inconclusive", "– not-applicable"):
            assert word in shown.text
        for part in ("0123abc", "flatmin verify made.toml --json", "A source", "Python", "−η λ P ∇R"):
            assert part in shown.text

    def test_the_derivation_is_that_of_the_command_line(self, made):
        text = page(made / "good").text
        for title in (
            "Where the slow flow from the start ends",
            "Kurdyka-Lojasiewicz property",
            "Is the drift of the derived theory a gradient near the start?",
        ):
            assert title in text
        # Dashes of a list in plain text are no minus signs.
        assert not re.search(r"− [A-Z]", text)

    def test_links_resolve(self, made):
        for name in ("good", "bad"):
            shown = page(made / name)
            assert [i for i, count in Counter(shown.ids).items() if count > 1] == []
            assert len(shown.links) > 10
            for link in shown.links:
                if link.startswith("#"):
                    assert link[1:] in shown.ids
                else:
                    assert re.fullmatch(r"[a-z0-9./-]+", link)
                    assert (made / name / link).is_file()

    def test_nothing_is_loaded(self, made):
        for name in ("good", "bad"):
            shown = page(made / name)
            assert shown.loads == []
            assert {tag for tag, _ in shown.elements} & {"script", "link", "img", "iframe", "object", "form"} == set()

    def test_hostile_text_is_text(self, made):
        shown = page(made / "bad")
        assert shown.text.count("<script>alert('x')</script>") > 8
        assert {a["class"] for t, a in shown.elements if t == "article" and a["id"][0] == "c"} == {"not-applicable"}
        written = [p.relative_to(made / "bad").as_posix() for p in (made / "bad").rglob("*")]
        assert all(re.fullmatch(r"[a-z0-9./-]+", name) for name in written)

    def test_every_figure_is_a_file_with_its_data(self, made):
        figures = sorted(p.stem for p in (made / "good" / "figures").glob("*.svg"))
        assert len(figures) == 15
        assert figures == sorted(p.stem for p in (made / "good" / "figures").glob("*.csv"))

    def test_the_result_is_kept_whole(self, made):
        assert json.loads((made / "good" / "result.json").read_text()) == GOOD


class TestOddResults:
    def test_a_run_that_was_not_finished_says_so(self, tmp_path):
        kept = document([], studies=[{"name": "made", "text": STUDY + "[[claim]]\nkind = 'covariance'\n"}])
        write_report(kept, tmp_path / "none")
        assert "0 of 2 claims: the run was not finished." in page(tmp_path / "none").text
        assert "Margin ;" not in page(tmp_path / "none").text
        assert "after correction" not in page(tmp_path / "none").text
        kept["claims"] = [fraction_claim()]
        write_report(kept, tmp_path / "one")
        assert "1 of 2 claims: the run was not finished." in page(tmp_path / "one").text

    def test_a_figure_that_cannot_be_drawn_is_named(self, tmp_path, monkeypatch):
        from flatmin.sims.plots import fractions

        def broken(claim):
            raise ValueError("odd numbers")

        broken.__name__ = "fractions"
        monkeypatch.setattr(fractions, "fractions", broken)
        write_report(document([fraction_claim()], studies=[]), tmp_path / "report")
        assert "Could not be drawn from these numbers: fractions (odd numbers)." in page(tmp_path / "report").text
        assert (tmp_path / "report" / "figures" / "c1-theories.svg").exists()

    @pytest.mark.parametrize(
        ("field", "more"),
        [
            ("interval", {"interval": [0.1, -0.1]}),
            ("standard_error", {"standard_error": [[-1e-4, 1e-4]] * 8}),
            ("margin", {"margin": 0.0}),
            ("confidence", {"confidence": 1.0}),
            ("scale", {"scale": -1.0}),
            ("measured", {"measured": [None, 1.0]}),
            ("predicted", {"predicted": [1e308, 1e308]}),
            ("times", {"times": 3.0}),
            ("times", {"times": [1.0, 2.0]}),
            ("times", {"times": list(range(800, 0, -100))}),
            ("start", {"start": [1.0, 2.0, 3.0]}),
            ("strength", {"detail": {"rungs": [{"strength": 0.0}]}}),
            ("coefficients", {"detail": {"law": "power", "coefficients": [0.5, 0.1]}}),
            ("coefficients", {"detail": {"coefficients": [1.0, 2.0, 3.0]}}),
            ("error_coefficients", {"detail": {"error_coefficients": [[1.0, 2.0]]}}),
        ],
    )
    def test_numbers_that_cannot_be_name_their_field(self, field, more):
        entry = claim("trajectory", [[2 - t / 8, 0.5 + t / 20] for t in range(1, 9)], times=list(range(100, 900, 100)))
        result_of(document([entry]))
        with pytest.raises(InvalidInput, match=rf"result\.claims\.0.*\b{field}\b"):
            result_of(document([entry | more]))


@pytest.mark.skipif(find_browser() is None, reason="no Chromium here: the page was not seen in a browser")
def test_in_a_browser(made):
    with Browser(find_browser() or "") as browser:
        for name in ("good", "bad"):
            for width, dark in ((1280, False), (390, True)):
                browser.show(width, dark=dark)
                browser.open(made / name / "index.html")
                assert browser.problems == []
                assert browser.requests == [(made / name / "index.html").resolve().as_uri()]
                # Nothing sticks out to the side.
                assert browser.value("document.documentElement.scrollWidth") <= width
                # Formulas are laid out: a fraction is higher than a line of text.
                assert browser.value("Math.max(...[...document.querySelectorAll('mfrac')].map(e => e.offsetHeight ||"
                                     " e.getBoundingClientRect().height))") > 25  # fmt: skip
                ink = browser.value("getComputedStyle(document.querySelector('h1')).color")
                assert ink == ("rgb(233, 230, 223)" if dark else "rgb(29, 29, 27)")
                fill = "getComputedStyle(document.querySelector('figure svg path')).fill"
                assert browser.value(fill) == ("rgb(23, 23, 21)" if dark else "rgb(255, 254, 251)")
            assert browser.pdf().startswith(b"%PDF")
        (made / "broken.html").write_text('<img src="http://evil.example/a.png"><script>nothing()</script>')
        browser.open(made / "broken.html")
        # The same checks see a page that is not well.
        assert "http://evil.example/a.png" in browser.requests
        assert any("nothing is not defined" in problem for problem in browser.problems)


class TestCommands:
    def test_report_rebuilds_without_running_anything(self, tmp_path, monkeypatch):
        result = tmp_path / "result.json"
        result.write_text(json.dumps(document([claim("drift", 1.0)], studies=[])))
        forbid_simulation(monkeypatch)
        shown = flatmin("report", result, tmp_path / "out", "--latex", tmp_path / "t.tex")
        assert f"wrote {tmp_path / 'out' / 'index.html'}" in shown.stdout
        assert "drift claim" in (tmp_path / "t.tex").read_text()
        before = (tmp_path / "out" / "index.html").read_bytes()
        flatmin("report", tmp_path / "out" / "result.json", tmp_path / "out", "--quiet")
        assert (tmp_path / "out" / "index.html").read_bytes() == before

    def test_verify_writes_a_report(self, tmp_path):
        # A learning rate beyond the theory: not applicable, and nothing runs.
        path = study(tmp_path, lr=5.0)
        flatmin("verify", path, "--report", tmp_path / "out", "--latex", tmp_path / "t.tex", status=3)
        shown = page(tmp_path / "out")
        assert "not-applicable" in shown.text
        assert "must be below 2/h_max" in shown.text
        assert r"\begin{table}" in (tmp_path / "t.tex").read_text()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "is not valid JSON"),
            ("[]", "result.document"),
            ('{"flatmin": "0.1.0"}', "result.study"),
            (json.dumps(document([{"name": "x"}])), "result.claims.0.kind"),
            (json.dumps(document([claim("drift", [1.0]) | {"predicted": [[1], [1, 2]]}])), "result.claims.0.predicted"),
            ("[" * 100_000, "is not valid JSON"),
        ],
    )
    def test_what_is_no_result_is_refused(self, tmp_path, text, message):
        (tmp_path / "r.json").write_text(text)
        assert message in flatmin("report", tmp_path / "r.json", tmp_path / "out", status=2).stderr
        assert not (tmp_path / "out").exists()

    def test_somebody_elses_page_is_not_overwritten(self, tmp_path, monkeypatch):
        forbid_simulation(monkeypatch)
        (tmp_path / "index.html").write_text("<h1>mine</h1>")
        shown = flatmin("verify", study(tmp_path), "--report", tmp_path, status=4)
        assert "its index.html is no report of flatmin; name another folder" in shown.stderr
        assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"

    @pytest.mark.parametrize("folder", ["file", "no/such/folder"])
    def test_a_folder_that_cannot_be(self, tmp_path, folder, monkeypatch):
        forbid_simulation(monkeypatch)
        (tmp_path / "file").write_text("")
        assert "--report=" in flatmin("verify", study(tmp_path), "--report", tmp_path / folder, status=4).stderr

    def test_a_missing_package_is_said_before_anything_runs(self, tmp_path, monkeypatch):
        forbid_simulation(monkeypatch)
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "jinja2" else 1)
        shown = flatmin("verify", study(tmp_path), "--report", tmp_path / "out", status=2)
        assert "--report needs jinja2, which is not installed; pip install 'flatmin[report]'" in shown.stderr

    def test_something_is_asked_for(self, tmp_path):
        (tmp_path / "r.json").write_text(json.dumps(document([])))
        assert "give DIR, or --latex FILE" in flatmin("report", Path(tmp_path / "r.json"), status=2).stderr
