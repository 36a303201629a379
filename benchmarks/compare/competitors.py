"""Who is compared, and with which settings.

For all of them: the same random base, the same initial adapter, AdamW of PyTorch with the same rates, weight decay and
clipping, LoRA on the seven projections with dropout 0, no quantization. That differs from the team's notebook in its
favour on a CPU (4-bit products and 8-bit states are slower there); on a GPU the `nf4` competitors show it as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lexitrain", "trainer", "trl", "unsloth"]


@dataclass(frozen=True, slots=True)
class Competitor:
    """A trainer with settings.

    Attributes:
        kind: whose code runs.
        recipe: the shipped recipe it follows in rank, length and loss.
        what: one line for the table.
        overrides: `--set` overrides of the recipe.
        padding: of the Transformers Trainer: to the longest of a micro-batch, or to `max_length`.
        rows: packed rows a step, of TRL; each is a micro-batch.
        row_length: tokens of a packed row.
        packing: `bfd`, TRL's own over the whole data, so that a step holds about 24 samples; `same`, exactly the 24 of
            the step in as many rows.
        liger: with Liger's kernels.
    """

    kind: Kind
    recipe: str
    what: str
    overrides: tuple[str, ...] = ()
    padding: Literal["longest", "max_length"] = "longest"
    rows: int = 6
    row_length: int = 512
    packing: Literal["bfd", "same"] = "bfd"
    liger: bool = False

    @property
    def same_samples(self) -> bool:
        """Whether every step holds the same samples as the others' steps."""
        return not (self.kind == "trl" and self.packing == "bfd")


#: A token budget bounds cuts from above alone: where launches cost something, or attention is dense, the cheapest cuts
#: below it are several. The number of samples says it.
ONE_ROW = ("step.micro_batch=24",)
MANY_CUTS = ("step.token_budget=512",)
GRAPHS = ("step.graphs=always",)
COMPILED = ("step.compile=always",)

COMPETITORS = {
    "fast": Competitor(
        "lexitrain", "fast", "LexiTrain, recipe `fast`: prefix tree, completion loss"
    ),
    "fast_row": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with all samples in one row (`step.token_budget=100000`)",
        overrides=("step.token_budget=100000",),
    ),
    "fast_one_row": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with all samples in one row (`step.micro_batch=24`)",
        overrides=ONE_ROW,
    ),
    "fast_many_cuts": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with at most 512 tokens a cut",
        overrides=MANY_CUTS,
    ),
    "fast_graphs": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with cuts recorded as CUDA graphs (`step.graphs=always`)",
        overrides=GRAPHS,
    ),
    "fast_compiled": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with compiled layers (`step.compile=always`)",
        overrides=COMPILED,
    ),
    "fast_graphs_compiled": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with cuts recorded as CUDA graphs and compiled layers",
        overrides=(*GRAPHS, *COMPILED),
    ),
    "trl": Competitor(
        "trl",
        "fast",
        "TRL SFTTrainer: BFD packing into rows of 512, padding-free, completion loss, no recomputation",
    ),
    "trl_same": Competitor(
        "trl",
        "fast",
        "TRL SFTTrainer as above, a step's own 24 samples packed into 6 rows",
        packing="same",
    ),
    "trl_long": Competitor(
        "trl",
        "fast",
        "TRL SFTTrainer: BFD packing into rows of 1,536",
        rows=2,
        row_length=1536,
    ),
    "trl_row": Competitor(
        "trl",
        "fast",
        "TRL SFTTrainer: BFD packing into rows of 3,072, one a step",
        rows=1,
        row_length=3072,
    ),
    "trl_liger": Competitor(
        "trl",
        "fast",
        "TRL SFTTrainer: BFD packing into rows of 1,536, Liger kernels",
        rows=2,
        row_length=1536,
        liger=True,
    ),
    "trainer": Competitor(
        "trainer",
        "fast",
        "Transformers Trainer: 6 micro-batches of 4 padded to their longest, completion loss",
    ),
    "trainer_liger": Competitor(
        "trainer",
        "fast",
        "Transformers Trainer with dynamic padding and Liger kernels",
        liger=True,
    ),
    "unsloth": Competitor(
        "unsloth",
        "fast",
        "Unsloth's model and kernels under TRL's SFTTrainer: a step's own 24 samples packed into one padding-free row",
        rows=1,
        packing="same",
    ),
    "notebook": Competitor(
        "trainer",
        "notebook",
        "the team's second configuration in Transformers Trainer: padded to 512, all tokens, recomputation",
        padding="max_length",
    ),
    "notebook_engine": Competitor(
        "lexitrain",
        "notebook",
        "the team's second configuration, through LexiTrain's recipe `notebook`",
    ),
    "notebook_nf4": Competitor(
        "lexitrain",
        "notebook",
        "the team's second configuration, through LexiTrain, with its 4-bit base and paged 8-bit optimizer",
        overrides=("model.quantization=nf4", "optimizer.name=paged_adamw_8bit"),
    ),
    "slow": Competitor(
        "trainer",
        "slow",
        "the team's first configuration in Transformers Trainer: padded to 768, rank 48, all tokens, recomputation",
        padding="max_length",
    ),
    "fast_budget": Competitor(
        "lexitrain",
        "fast",
        "LexiTrain, recipe `fast` with at most 768 tokens a cut",
        overrides=("step.token_budget=768",),
    ),
    "best_budget": Competitor(
        "lexitrain",
        "best",
        "LexiTrain, recipe `best` with at most 768 tokens a cut and recomputation",
        overrides=("step.token_budget=768", "step.gradient_checkpointing=always"),
    ),
    "best": Competitor("lexitrain", "best", "LexiTrain, recipe `best`: rank 48, up to 768 tokens"),
    "best_one_row": Competitor(
        "lexitrain",
        "best",
        "LexiTrain, recipe `best` with all samples in one row (`step.micro_batch=24`)",
        overrides=ONE_ROW,
    ),
    "best_many_cuts": Competitor(
        "lexitrain",
        "best",
        "LexiTrain, recipe `best` with at most 512 tokens a cut",
        overrides=MANY_CUTS,
    ),
    "best_graphs": Competitor(
        "lexitrain",
        "best",
        "LexiTrain, recipe `best` with cuts recorded as CUDA graphs (`step.graphs=always`)",
        overrides=GRAPHS,
    ),
}

#: On every run, whatever the recipe says: what must be equal for the losses to be.
EQUAL = ("lora.dropout=0", "optimizer.name=adamw", "model.quantization=none")
