"""The form of attention that a device computes, in training and in a plan."""

from __future__ import annotations

import pytest

from lexitrain.errors import InputError
from lexitrain.models.attention_form import attention_kind


def test_a_cpu_goes_by_blocks_unless_the_base_drops_weights():
    assert attention_kind("auto", None) == "blocks"
    assert attention_kind("dense", None) == "dense"
    assert attention_kind("auto", None, dropout=0.1) == "dense"
    with pytest.raises(InputError, match="drops attention weights"):
        attention_kind("blocks", None, dropout=0.1)
    with pytest.raises(InputError, match=r"compute capability 8\.0"):
        attention_kind("flex", None)


@pytest.mark.parametrize(("capability", "kind"), [((7, 5), "dense"), ((8, 0), "flex")])
def test_auto_on_a_gpu_goes_by_compute_capability(capability, kind):
    assert attention_kind("auto", capability) == kind
    assert attention_kind("auto", capability, dropout=0.1) == "dense"
    with pytest.raises(InputError, match="only a CPU has"):
        attention_kind("blocks", capability)


def test_flex_is_refused_by_a_gpu_without_its_kernel():
    with pytest.raises(InputError, match="FlexAttention") as caught:
        attention_kind("flex", (7, 5))
    assert caught.value.where == "step.attention"
    assert attention_kind("flex", (9, 0)) == "flex"
