"""The benchmark against Unsloth: what both sides are given, how parts are kept, and the notebook that runs it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.against import records
from benchmarks.against.card import card
from benchmarks.against.clock import StepClock
from benchmarks.against.environments import kept_versions
from benchmarks.against.parts import PARTS, Bench
from benchmarks.against.records import as_rows
from benchmarks.against.result import aligned, ratios
from benchmarks.against.settings import Settings, Work, read_work
from tests.paths import ROOT

from benchmarks import notebook
from lexitrain import generate
from lexitrain.models import load_tokenizer, resolve_base
from lexitrain.samples import Renderer
from lexitrain.tasks import registry

WORK = Work(
    base="nano",
    rank=4,
    alpha=8,
    targets=["q_proj"],
    learning_rates=[0.001, 0.002, 0.001],
    weight_decay=0.01,
    clip=1.0,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-8,
    optimizer="adamw",
    epochs=1,
    effective_batch=4,
    steps=3,
    max_length=256,
    save_every=2,
    seed=42,
    samples=10,
    tokens=0,
    supervised_tokens=0,
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    tokenizer = load_tokenizer("nano")
    samples = Renderer(tokenizer, registry(), 256).render_all(list(generate(60, 1)))
    return list(as_rows(samples, tokenizer))


def test_both_sides_read_the_same_work(tmp_path: Path) -> None:
    WORK.save(tmp_path)
    assert read_work(tmp_path) == WORK
    described = WORK.described()
    assert described["peak_learning_rate"] == 0.002
    assert "base" not in described


def test_texts_give_the_same_tokens_again(rows: list[dict[str, Any]]) -> None:
    tokenizer = load_tokenizer("nano")
    assert len(rows) == 60
    for row in rows:
        assert row["completion"].endswith("<|im_end|>")
        whole = tokenizer(row["prompt"] + row["completion"], add_special_tokens=False)["input_ids"]
        assert whole == row["prompt_ids"] + row["completion_ids"]


def test_a_sample_that_is_not_learnt_as_a_whole_is_refused() -> None:
    tokenizer = load_tokenizer("nano")
    sample = Renderer(tokenizer, registry(), 256).render_all(list(generate(1, 1)))[0]
    half = sample.supervised.copy()
    half[0] = False
    with pytest.raises(ValueError, match="record 0 cannot be given to both sides"):
        list(as_rows([replace(sample, supervised=half)], tokenizer))


def test_a_clock_leaves_out_warm_up_and_what_came_before_the_first_step() -> None:
    clock = StepClock(process=0.0)
    clock.before_steps()
    clock.first = 100.0
    clock.ends = [110.0 + number for number in range(40)]  # the first step took ten seconds
    clock.before_steps()
    found = clock.figures(samples=400)
    assert clock.first == 100.0
    assert found["seconds_of_steps"] == 49.0
    assert found["seconds_before_first_step"] == 100.0
    assert found["warm_up_steps"] == 10
    assert found["seconds_after_warm_up"] == 30.0
    assert found["seconds_a_step_after_warm_up"] == 1.0


def test_ratios_are_of_one_device_alone() -> None:
    half = {
        "state": "done",
        "seconds_of_process": 20.0,
        "seconds_of_steps": 10.0,
        "seconds_after_warm_up": 8.0,
        "memory": {"reserved_gb": 2.0},
        "machine": {"device": "Tesla T4"},
    }
    slower = {**half, "seconds_of_steps": 25.0, "memory": {"reserved_gb": 3.0}}
    found = ratios({"lexitrain": half, "unsloth": slower})
    assert found["seconds_of_steps"] == 2.5
    assert found["reserved_gb"] == 1.5
    elsewhere = {**slower, "machine": {"device": "NVIDIA L4"}}
    assert ratios({"lexitrain": half, "unsloth": elsewhere}) == {}
    assert ratios({"lexitrain": half, "unsloth": {"state": "not run", "reason": "no GPU"}}) == {}


@pytest.mark.slow
def test_the_key_of_a_part_follows_what_it_was_made_from(tmp_path: Path) -> None:
    bench = Bench(Settings(base="nano"), tmp_path, tmp_path, {})
    parts = {part.name: part for part in PARTS}
    before = {name: bench.key(part) for name, part in parts.items()}
    bench.parts["unsloth"] = {"state": "done", "key": "a"}
    after = {name: bench.key(part) for name, part in parts.items()}
    assert {name for name in parts if before[name] != after[name]} == {"loss", "scores"}
    other = Bench(Settings(base="nano", epochs=3), tmp_path, tmp_path, {})
    assert all(other.key(part) != before[name] for name, part in parts.items())


def test_other_settings_in_the_same_folder_make_other_data(tmp_path: Path) -> None:
    counts = []
    for settings in (
        Settings(base="nano", records=120),
        Settings(base="nano", records=240, seed=7),
    ):
        folder = records._data(tmp_path, settings)
        counts.append(len((folder / "train.jsonl").read_text(encoding="utf-8").splitlines()))
        assert (tmp_path / "train-data" / "train.jsonl").read_bytes() == (
            folder / "train.jsonl"
        ).read_bytes()
    assert counts[1] > 1.5 * counts[0]


def test_another_base_replaces_the_one_of_before(tmp_path: Path, tiny_base: Path) -> None:
    for base in ("nano", str(tiny_base), "nano"):
        records._base(tmp_path / "base", Settings(base=base))
        asked = tiny_base if base != "nano" else resolve_base("nano")
        config = (Path(asked) / "config.json").read_bytes()
        assert (tmp_path / "base" / "config.json").read_bytes() == config


def test_a_part_is_made_anew_where_the_records_have_changed(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    settings = Settings(source=str(file))
    file.write_text("{}\n", encoding="utf-8")
    before = settings.key()
    file.write_text("{ }\n", encoding="utf-8")
    assert settings.key() != before


def test_torch_stays_as_the_machine_has_it() -> None:
    lines = kept_versions(ROOT / "requirements.lock")
    torch = [line for line in lines if line.startswith("torch==")]
    assert len(torch) == 1
    assert "+" not in torch[0]
    assert any(line.startswith("transformers==") for line in lines)
    pins = (ROOT / "benchmarks" / "against" / "unsloth.txt").read_text(encoding="utf-8")
    names = [line.partition("==")[0] for line in pins.splitlines() if not line.startswith("#")]
    assert {"unsloth", "unsloth_zoo", "trl", "transformers", "peft", "bitsandbytes"} <= set(names)
    assert not {"torch", "torchvision", "triton", "xformers"} & set(names)


def test_a_step_of_the_rival_holds_as_many_samples_as_ours() -> None:
    from benchmarks.against.unsloth_half import micro_batch

    assert [micro_batch(24, wanted) for wanted in (1, 7, 8, 24, 100)] == [1, 6, 8, 24, 24]
    assert micro_batch(12, 8) == 6


def test_a_table_has_columns() -> None:
    assert aligned([("", "s"), ("a", "10"), ("bcd", "2")]) == ["      s", "a    10", "bcd   2"]


def test_the_notebook_in_the_repository_is_what_is_written() -> None:
    written = notebook.notebook_bytes(notebook.cells())
    assert notebook.NOTEBOOK.read_bytes() == written, "run python -m benchmarks.notebook"


def test_the_notebook_has_no_outputs_and_its_code_compiles() -> None:
    import nbformat

    nbformat.validate(nbformat.read(notebook.NOTEBOOK, as_version=4))
    for cell in json.loads(notebook.NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            compile("".join(cell["source"]), cell["id"], "exec")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what other people's trainers warn of is theirs
def test_trl_learns_the_same_tokens_and_others_are_found(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """With TRL as it is installed here; Unsloth's own is looked at by `benchmarks.against.rival_tokens`."""
    pytest.importorskip("trl")
    from benchmarks.against.unsloth_half import build_trainer, differing_samples
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lexitrain.models.location import resolve_base

    settings = Settings(base="nano", micro_batch=2)
    base = AutoModelForCausalLM.from_pretrained(resolve_base("nano"))
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    trainer = build_trainer(
        model, load_tokenizer("nano"), rows[:10], WORK, settings, tmp_path, use_cpu=True
    )
    assert differing_samples(trainer, rows[:10]) == []
    learnt = rows[3]["completion_ids"]
    longer = [*rows[:3], {**rows[3], "completion_ids": learnt[:-1]}, *rows[4:10]]
    assert len(differing_samples(trainer, longer)) == 1
    whole = [{**row, "prompt_ids": row["prompt_ids"][:-1]} for row in rows[:10]]
    assert len(differing_samples(trainer, whole)) == 10
    moved = {
        **rows[0],
        "prompt_ids": [*rows[0]["prompt_ids"], rows[0]["completion_ids"][0]],
        "completion_ids": rows[0]["completion_ids"][1:],
    }
    assert "learns" in differing_samples(trainer, [moved, *rows[1:10]])[0]
    trainer.train()
    assert trainer.state.global_step == WORK.steps
    assert trainer.state.log_history[-1]["train_loss"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_notebook_runs_on_nano_and_again_on_a_machine_that_has_forgotten(
    tmp_path: Path,
) -> None:
    """Our half alone, with what is installed; then from what was kept, on an empty disk."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook.NOTEBOOK, as_version=4)
    choices = {
        'BASE = "0.5B"': 'BASE = "nano"',
        "RECORDS = 6000": "RECORDS = 240",
        "EPOCHS = 2": "EPOCHS = 1",
        "OPTIONS = []": 'OPTIONS = ["--scored", "12", "--old-way-steps", "2"]',
        'CHECKOUT = ""': f"CHECKOUT = {str(ROOT)!r}",
        "ENVIRONMENTS = True": "ENVIRONMENTS = False",
    }
    for was, now in choices.items():
        assert was in book.cells[1].source
        book.cells[1].source = book.cells[1].source.replace(was, now)

    def executed() -> tuple[dict[str, Any], str]:
        NotebookClient(
            book,
            timeout=900,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
        result = (tmp_path / "benchmark-kept" / "result.json").read_text(encoding="utf-8")
        return json.loads(result), json.dumps(book)

    first, _ = executed()
    states = {name: part["state"] for name, part in first["parts"].items()}
    assert states.pop("unsloth") == "not run"
    assert set(states.values()) == {"done"}, first["parts"]
    assert "no NVIDIA GPU" in first["parts"]["unsloth"]["reason"] or card() is not None
    assert first["ratios"] == {}
    lost = first["parts"]["disconnect"]
    assert lost["same_adapter"]["bytes"]
    assert 0 < lost["resumed_at_step"] <= lost["killed_at_step"]
    assert first["parts"]["export"]["distances"]["mean_kl"] < 0.01
    assert first["parts"]["loss"]["losses"]["lexitrain"] < first["parts"]["loss"]["losses"]["base"]

    shutil.rmtree(tmp_path / "benchmark-work")
    again, said = executed()
    assert again["parts"]["lexitrain"] == first["parts"]["lexitrain"]
    assert said.count("done before") == len(PARTS) - 2  # the rival's, and the base is fetched again
