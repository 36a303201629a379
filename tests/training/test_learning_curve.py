from __future__ import annotations

import pytest

from lexitrain.training.outcome.learning_curve import judged as judge


def judged(*losses: float | None) -> str:
    measured = [(10 * n, loss) for n, loss in enumerate(losses, start=1) if loss is not None]
    return judge(measured).kind


@pytest.mark.parametrize(
    ("losses", "kind"),
    [
        ((), "unknown"),
        ((2.0, 1.0), "unknown"),
        ((2.0, None, 1.0, None), "unknown"),
        ((2.0, 1.0, 0.5), "still falling"),
        ((2.0, None, 1.0, 0.5, None), "still falling"),
        ((2.0, 1.0, 0.5, 0.52, 0.56), "overfitting"),
        ((2.0, 1.0, 0.5, 0.56), "unknown"),  # one validation after the best is chance
        ((2.0, 0.5, 0.502, 0.499), "plateau"),
        ((2.0, 0.5, 0.505, 0.508), "unknown"),
        ((0.5, 0.9, 0.7), "overfitting"),
        ((2.0, 1.0, 1.2, 0.999), "unknown"),
        ((2.0, 0.0, 0.0, 0.0), "plateau"),  # a toy known by heart: fp32 has no smaller loss
        ((2.0, 0.0, 0.1, 0.2), "overfitting"),
        ((0.0, 0.1, 0.0), "unknown"),
        ((2.0, 0.1, 0.0), "still falling"),
    ],
)
def test_a_curve_is_judged_by_its_rules(losses: tuple[float | None, ...], kind: str) -> None:
    assert judged(*losses) == kind


def test_the_step_of_the_best_is_named() -> None:
    said = judge([(5, 1.0), (10, 1.1), (15, 1.3)]).said
    assert "step 5" in said
    assert "30%" in said
