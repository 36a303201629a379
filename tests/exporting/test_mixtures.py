"""Which type each tensor gets: held against tables that were worked out by hand from llama.cpp's rules."""

from __future__ import annotations

from collections import Counter

import pytest

from lexitrain.errors import InputError
from lexitrain.exporting.gguf.mixtures import MIXTURES, mixture, tensor_type

#: Layers of 24 and of 28 with more bits: the first and the last eighth, and each third one from the first eighth on.
MORE_OF_24 = {0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23}
MORE_OF_28 = {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27}


def kinds(
    name: str, layers: int, kind: str, row: int, *, queries: int = 7, measured: bool = False
) -> list[str]:
    """The type of a kind of matrix in each layer."""
    return [
        tensor_type(
            mixture(name),
            f"blk.{layer}.{kind}.weight",
            row,
            layers=layers,
            queries_per_key=queries,
            tied=True,
            measured=measured,
        ).name
        for layer in range(layers)
    ]


def head(name: str, row: int, *, tied: bool, tensor: str | None = None) -> str:
    tensor = tensor or ("token_embd.weight" if tied else "output.weight")
    return tensor_type(mixture(name), tensor, row, layers=24, queries_per_key=7, tied=tied).name


@pytest.mark.parametrize(("layers", "more"), [(24, MORE_OF_24), (28, MORE_OF_28)])
@pytest.mark.parametrize("kind", ["attn_v", "ffn_down"])
@pytest.mark.parametrize(
    ("name", "row", "larger", "usual"),
    [
        ("Q4_K_M", 1536, "Q6_K", "Q4_K"),
        ("Q5_K_M", 1536, "Q6_K", "Q5_K"),
        ("Q4_K_M", 4864, "Q6_K", "Q4_K"),
        ("Q4_K_M", 8960, "Q6_K", "Q4_K"),
        ("Q4_K_M", 896, "Q8_0", "Q5_0"),  # 896 is 3.5 times 256
        ("Q5_K_M", 896, "Q8_0", "Q5_1"),
    ],
)
def test_mixtures_with_more_bits_in_some_layers(
    layers: int, more: set[int], kind: str, name: str, row: int, larger: str, usual: str
) -> None:
    found = kinds(name, layers, kind, row)
    assert found == [larger if layer in more else usual for layer in range(layers)]


#: Mixture -> types of attn_v, ffn_down and attn_output by layer of 28, with rows of 1536 and seven queries to a key.
BY_LAYER: dict[str, tuple[list[str], ...]] = {
    "Q2_K": (["Q4_K"] * 28, ["Q3_K"] * 28, ["Q3_K"] * 28),
    "Q3_K_S": (["Q3_K"] * 28,) * 3,
    "Q3_K_M": (
        ["Q5_K"] * 2 + ["Q4_K"] * 26,
        ["Q5_K"] + ["Q4_K"] * 27,
        ["Q4_K"] * 28,
    ),
    "Q3_K_L": (["Q5_K"] * 28,) * 3,
    "Q4_0": (["Q4_0"] * 28,) * 3,
    "Q4_K_S": (["Q5_K"] * 4 + ["Q4_K"] * 24, ["Q5_K"] * 3 + ["Q4_K"] * 25, ["Q4_K"] * 28),
    "Q5_K_S": (["Q5_K"] * 28,) * 3,
    "Q6_K": (["Q6_K"] * 28,) * 3,
    "Q8_0": (["Q8_0"] * 28,) * 3,
    "F16": (["F16"] * 28,) * 3,
    "BF16": (["BF16"] * 28,) * 3,
    "F32": (["F32"] * 28,) * 3,
}


@pytest.mark.parametrize("name", BY_LAYER)
def test_mixtures_by_layer(name: str) -> None:
    found = tuple(kinds(name, 28, kind, 1536) for kind in ("attn_v", "ffn_down", "attn_output"))
    assert found == BY_LAYER[name]
    assert {*MIXTURES} == {*BY_LAYER, "Q4_K_M", "Q5_K_M"}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("kind", ["attn_q", "attn_k", "ffn_up", "ffn_gate"])
def test_other_matrices_have_the_type_in_the_name(name: str, kind: str) -> None:
    plain = name.removesuffix("_S").removesuffix("_M").removesuffix("_L")
    assert {*kinds(name, 28, kind, 1536)} == {plain}


@pytest.mark.parametrize(("queries", "kind"), [(1, "Q3_K"), (3, "Q3_K"), (4, "Q4_K"), (7, "Q4_K")])
def test_two_bits_leave_more_to_values_that_many_queries_share(queries: int, kind: str) -> None:
    assert {*kinds("Q2_K", 24, "attn_v", 1536, queries=queries)} == {kind}


FALLBACKS = {
    "Q2_K": "Q4_0",
    "Q3_K_S": "Q4_0",
    "Q4_K_S": "Q5_0",
    "Q5_K_S": "Q5_1",
    "Q6_K": "Q8_0",
    "Q4_0": "Q4_0",
    "Q8_0": "Q8_0",
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_rows_of_no_multiple_of_256_fall_back(name: str) -> None:
    assert {*kinds(name, 24, "ffn_up", 896)} == {FALLBACKS[name]}
    assert {*kinds(name, 24, "ffn_up", 192)} == {FALLBACKS[name]}
    assert {*kinds(name, 24, "ffn_up", 200)} == {"F16"}  # no multiple of 32 either


HEADS = [  # mixture, row, tied, type
    *(("Q4_K_M", 896, tied, "Q8_0") for tied in (True, False)),
    *(("Q4_K_M", 1536, tied, "Q6_K") for tied in (True, False)),
    *(("Q2_K", 1536, True, "Q6_K"), ("Q8_0", 896, True, "Q8_0"), ("Q8_0", 1536, False, "Q8_0")),
    *(("Q4_0", 896, True, "Q8_0"), ("Q4_0", 1536, True, "Q6_K"), ("F16", 896, True, "F16")),
    *(("Q6_K", 896, True, "Q8_0"), ("BF16", 1536, False, "BF16"), ("Q4_K_M", 200, True, "F16")),
]


@pytest.mark.parametrize(("name", "row", "tied", "kind"), HEADS)
def test_the_head_has_more_bits(name: str, row: int, tied: bool, kind: str) -> None:
    assert head(name, row, tied=tied) == kind


def test_an_embedding_that_is_no_head_has_not() -> None:
    assert head("Q4_K_M", 1536, tied=False, tensor="token_embd.weight") == "Q4_K"
    assert head("Q4_K_M", 896, tied=False, tensor="token_embd.weight") == "Q5_0"


def test_a_measured_q4_0_begins_with_q4_1() -> None:
    """As llama.cpp does it where it has an importance matrix."""
    assert kinds("Q4_0", 24, "ffn_down", 4864, measured=True) == ["Q4_1"] * 3 + ["Q4_0"] * 21
    for name in MIXTURES.keys() - {"Q4_0"}:
        measured = kinds(name, 24, "ffn_down", 4864, measured=True)
        assert measured == kinds(name, 24, "ffn_down", 4864)


def test_a_half_billion_shape_in_four_bits() -> None:
    """Qwen2.5-0.5B: rows of 896, but of 4864 for ffn_down; the head is the embedding."""
    rows = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_gate"), 896)
    found = Counter(
        each
        for kind, row in (*rows.items(), ("ffn_down", 4864))
        for each in kinds("Q4_K_M", 24, kind, row)
    )
    found[head("Q4_K_M", 896, tied=True)] += 1
    assert found == {"Q5_0": 132, "Q8_0": 13, "Q4_K": 12, "Q6_K": 12}


@pytest.mark.parametrize(("said", "meant"), [("q4_k_m", "Q4_K_M"), ("Q4_KM", "Q4_K_M")])
def test_names_are_known_in_any_case_and_near_ones_suggested(said: str, meant: str) -> None:
    if said.upper() == meant:
        assert mixture(said) is MIXTURES[meant]
    else:
        with pytest.raises(InputError, match=f"Did you mean {meant}"):
            mixture(said)
