"""The ledger page: made from results that belong to the claims as they now are."""

from __future__ import annotations

from dataclasses import replace

from evenflow.claims.figure import computed
from evenflow.claims.ledger import ledger
from evenflow.claims.results import Result, readings
from evenflow.claims.textbook import CLAIMS
from evenflow.claims.verdict import case, core, size, weigh


def test_the_results_in_the_documentation_are_those_of_the_claims_as_they_now_are(ledger_kept) -> None:
    kept = {one.claim: one.hash for one in ledger_kept}
    now = {name: claim.hash for name, claim in CLAIMS.items()}
    stale = [name for name in now if kept.get(name) != now[name]]
    assert not stale, (
        f"tried before they were changed: run `evenflow claims run --store docs/claims.json`; {stale}"
    )
    assert set(kept) == set(now)


def test_the_results_in_the_documentation_are_all_of_the_quick_form_and_decided(ledger_kept) -> None:
    for one in ledger_kept:
        assert (one.full, one.seed) == (False, 0)
        assert CLAIMS[one.claim].judge(one.figures).kind != "not decided", one.claim


def result(claim, **values):
    figures = {key: computed(f"the {key}", value) for key, value in values.items()}
    return Result(
        claim.name,
        claim.hash,
        False,
        0,
        "2026-01-02T03:04:05+00:00",
        1.5,
        {"processor": "a processor", "cores": 2, "system": "a system"},
        {"torch": "2.0"},
        readings(figures),
    )


def toy(name="toy"):
    def judge(figures):
        """By looking."""
        first = figures["first"]
        return weigh(
            core("it is there", first.value > 0, first),
            case("in one place", True, first),
            case("in another place", False),
            size("it is large", first.value > 1),
        )

    return replace(CLAIMS["clipping_lifts"], name=name, sentence=f"All about {name}.", judge=judge)


def test_the_page_says_the_verdict_of_the_judge_and_what_it_rests_on() -> None:
    claim = toy()
    page = ledger([claim], {"toy": result(claim, first=2.0, second=3.0)})
    for line in (
        "1 claim; the verdicts are *holds under conditions* 1 time.",
        "| **holds under conditions** | [All about toy.](#toy) |",
        "1 result: `evenflow claims run --seed 0` on 2026-01-02; a processor, 2 cores, a system; torch 2.0.",
        "**Verdict: holds under conditions.**",
        "It holds: in one place. It does not: in another place.",
        "- ✓ it is there\n  - the first: 2.00",
        "- ✗ in another place",
        "- ✓ beyond its core: it is large",
        "Beside it: the second: 3.00.",
        "How it is judged: By looking.",
    ):
        assert line in page


def test_the_page_follows_the_figures() -> None:
    claim = toy()
    assert "**Verdict: overstated.**" in ledger([claim], {"toy": result(claim, first=0.5)})
    assert "**Verdict: wrong.**" in ledger([claim], {"toy": result(claim, first=-1.0)})


def test_a_claim_without_a_result_says_so() -> None:
    assert "**Verdict: not tried.**" in ledger([toy()], {})


def test_every_claim_is_on_the_page(ledger_results) -> None:
    page = ledger(list(CLAIMS.values()), ledger_results)
    for name, claim in CLAIMS.items():
        assert f"({name})=\n" in page
        assert f"> {claim.sentence}\n" in page
