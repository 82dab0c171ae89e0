"""Which model is advised: scores by hand, and the catalogue's own data."""

from __future__ import annotations

import pytest

from model_zoo.catalogue.advice import Candidate, candidates, joint_score
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import DATASETS, place, public_models
from model_zoo.catalogue.scores import CardScore
from model_zoo.errors import UnknownNameError, UsageError
from tests.model_zoo.small import small_network

FIRST, SECOND = DATASETS[:2]


def score(dataset: str, stem: str, value: float, how: str = "x", metric: str = "SDR") -> CardScore:
    return CardScore(dataset, stem, metric, how, value)


def test_the_score_of_several_stems_is_their_mean_on_the_same_data() -> None:
    """By hand: (6 + 10) / 2 = 8."""
    scores = [score(SECOND, "bass", 6), score(SECOND, "drums", 10), score(FIRST, "drums", 12)]
    found = joint_score(scores, ["drums", "bass"])
    assert found == score(SECOND, "drums, bass", 8)
    alone = joint_score(scores, ["drums"])
    assert alone == scores[2]  # on the data that come first


def test_scores_of_other_metrics_and_definitions_are_not_mixed() -> None:
    scores = [score(FIRST, "bass", 6), score(FIRST, "drums", 10, how="y")]
    assert joint_score(scores, ["drums", "bass"]) is None
    assert joint_score([score(FIRST, "bass", 6, metric="bleedless")], ["bass"]) is None


def candidate(name: str, found: CardScore | None, size: int = 0) -> Candidate:
    return Candidate(name, ("vocals",), "MIT", "", size, 0.25, found)


def test_order() -> None:
    """Data first, then the score; without a score the smallest, and unknown sizes last."""
    ordered = [
        candidate("high", score(FIRST, "vocals", 9)),
        candidate("low", score(FIRST, "vocals", 8)),
        candidate("other data", score(SECOND, "vocals", 20)),
        candidate("own data", score("my songs", "vocals", 30)),
        candidate("small", None, 10),
        candidate("large", None, 20),
        candidate("unknown", None),
    ]
    assert sorted(reversed(ordered), key=lambda each: each.rank) == ordered
    assert place(score("my songs", "vocals", 1)) == len(DATASETS)


def test_candidates_of_the_catalogue(zoo: object) -> None:
    """Kim's network has 10.98 dB of vocals on Multisong, the most of that set."""
    found = candidates(["vocals"])
    assert found[0].name == "mel_band_roformer_kim"
    usable = {name for name, each in public_models().items() if not each.refusal}
    assert {each.name for each in found} <= usable | {"melroformer", "spleeter_2stems"}
    assert all("vocals" in each.outputs for each in found)
    values = [each.score.value for each in found if place(each.score) == 0 and each.score]
    assert values == sorted(values, reverse=True)
    assert {each.name for each in candidates(["guitar", "piano"])} >= {"bs_roformer_sw"}


def test_an_installed_model_is_a_candidate_once(zoo: object) -> None:
    install(small_network(), Card("umxhq", "melrnn", stems=("vocals",), residual="band"))
    (umxhq,) = [each for each in candidates(["vocals"]) if each.name == "umxhq"]
    assert umxhq.weights
    assert umxhq.weights.is_file()
    assert [each.name for each in candidates(["band"])] == ["umxhq"]


@pytest.mark.parametrize(
    ("licence", "consent", "expected"),
    [
        ("MIT", "", True),
        ("GPL-3.0", "", True),
        ("CC BY 4.0", "", True),
        ("CC-BY-NC-SA-4.0", "", False),
        ("MIT", "no grant", False),
        ("not stated", "", False),
        ("", "", False),
    ],
)
def test_licences_that_allow_commercial_use(licence: str, consent: str, expected: bool) -> None:
    one = Candidate("x", ("vocals",), licence, consent, 0, 0.25, None)  # type: ignore[arg-type]
    assert one.is_commercial is expected


def test_stems_that_no_model_gives(zoo: object) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'drums'"):
        candidates(["drumz"])
    with pytest.raises(UsageError, match="No model gives kick and speech together"):
        candidates(["kick", "speech"])
