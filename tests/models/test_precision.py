"""Which precision a device computes in, and what a plan needs of the models without torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import lexitrain.models
from lexitrain.models.precision import compute_precision, torch_dtype
from tests.test_architecture import HEAVY, eager_imports_of


@pytest.mark.parametrize(
    ("capability", "precision"),
    [(None, "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_auto_goes_by_what_the_device_computes_itself(
    capability: tuple[int, int] | None, precision: str
):
    assert compute_precision("auto", capability) == precision


def test_what_is_asked_for_is_taken():
    assert compute_precision("bf16", (7, 5)) == "bf16"
    assert compute_precision("fp32", (9, 0)) == "fp32"


def test_names_of_torch():
    found = [torch_dtype(each) for each in ("fp32", "bf16", "fp16")]
    assert found == [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize(
    "name", ["architecture", "attention/form", "families", "location", "precision"]
)
def test_what_a_plan_needs_does_not_import_torch(name: str):
    source = Path(lexitrain.models.__path__[0]) / f"{name}.py"
    imported = eager_imports_of(ast.parse(source.read_text(encoding="utf-8")))
    assert not {each.partition(".")[0] for each in imported} & HEAVY
