"""One optimizer step over a fixed set of samples, in any layout and any number of cuts.

Each micro-batch adds the sum of its token losses, divided by the supervised tokens of the whole step, to the
gradient. The cuts therefore change cost and memory, never the gradient; nor does it matter which process computes
which. The device is waited for once a step, after the last micro-batch, to read loss and gradient norm together: both
are known before any weight is moved. Besides that the step only enqueues work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from lexitrain.batching import CutCost, DecoderShape, MicroBatch, StepLayout, deal
from lexitrain.models import AttentionKind, attention_kind, sliding_window, use_own_masks
from lexitrain.step.attention import BatchTensors, flex_or_dense, hidden_states
from lexitrain.step.decoder_layer.compiled_kernels import kernels_for
from lexitrain.step.decoder_layer.recognition import KnownLayers
from lexitrain.step.decoder_layer.recomputation import set_gradient_checkpointing
from lexitrain.step.graphs.cut_graphs import CutGraphs
from lexitrain.step.loss_scale import FIRST, LossScale
from lexitrain.step.optimizers import set_learning_rate
from lexitrain.step.out_of_memory import StepOutOfMemory, attempt
from lexitrain.step.output_head import LogitChange, frozen_head, sum_of_token_losses, without_head
from lexitrain.step.processes import Processes
from lexitrain.step.update.flat_optimizer import in_one_buffer

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from lexitrain.recipe import StepSection
    from lexitrain.samples import Sample
    from lexitrain.step.decoder_layer.decoder import Decoder


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step's forward and backward passes came to."""

    loss: float  # mean over the supervised tokens, nats
    supervised_tokens: int
    layout_tokens: int  # positions computed by all processes, padding included
    cuts: int  # micro-batches of all processes


class TrainingStep:
    """Gradients, update and validation loss of one model. Built once a run.

    Attributes:
        step_layout: how steps are laid out and cut. It is replaced as a whole, never changed, because background
            workers read it.
        grad_norm: global norm of the gradient that `gradients` left, before clipping.
        adapter: the trained tensors and their gradients in one buffer each.
        own_layers: whether known layers too are computed by the base's own code: for comparisons, and where they were
            found to give another loss.
        loss_scale: of fp16; part of a run's state.
        graphs: cuts that are recorded, where the settings ask for it.
        loss_graphs: those of validations.
        notes: sentences about what cannot be used here and is not, until someone takes them.

    Args:
        model: a PEFT model whose base and output head are frozen.
        optimizer: over the adapter's parameters.
        settings: the recipe's `step` section. Where it says `auto`, cuts have no token budget and nothing is
            recomputed.
        max_length: row length of the `padded` layout, tokens.
        pad_id: token put on padding.
        clip: largest global norm of the gradient.
        processes: those that train together.
        device: the kind of device whose kernels are used; that of the weights where not given.
        cut_cost: what a cut costs there; by the base's shape alone where not given.

    Raises:
        ModelError: the model's output head is not a plain frozen matrix, or the base is no decoder such as Llama's.
        DeviceError: the device does not compute attention as the recipe asks.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Optimizer,
        settings: StepSection,
        *,
        max_length: int,
        pad_id: int,
        clip: float,
        processes: Processes | None = None,
        device: str | None = None,
        cut_cost: CutCost | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.settings = settings
        self.clip = clip
        self.processes = processes or Processes()
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        base = model.get_base_model()
        self._backbone = without_head(base)
        head = frozen_head(base)
        self._head = head.weight
        self._logit_change = LogitChange.of(head, base.config)
        self.grad_norm = 0.0
        self.own_layers = False
        self.adapter = in_one_buffer(model, optimizer)
        kind = device or self._head.device.type
        self._gpu = kind == "cuda"
        self.notes: list[str] = []
        self._kernels = kernels_for(kind, settings, self._head, self.notes)
        self._known = KnownLayers(self._backbone, self.adapter, self._kernels, self._head.dtype)
        self._decoder: Decoder | None = None
        self.loss_scale = LossScale(FIRST if self._head.dtype == torch.float16 else 1.0)
        placed = self._head.device
        self.attention: AttentionKind = attention_kind(
            settings.attention,
            torch.cuda.get_device_capability(placed) if placed.type == "cuda" else None,
            base.config,
            settings.layout,
            recorded=settings.graphs == "always",
        )
        if self.attention == "flex" and placed.type == "cuda":
            self.attention = flex_or_dense(settings, base.config, self._head, self.notes)
        if self.attention != "own":
            use_own_masks(base)
        self.step_layout = StepLayout.of_recipe(
            settings,
            cut_cost or self._cut_cost(base.config),
            max_length=max_length,
            pad_id=pad_id,
            attention=self.attention,
            device=placed.type,
            window=sliding_window(base.config),
        )
        self.quantized: bool = getattr(base, "is_quantized", False)
        self.recomputes = settings.gradient_checkpointing == "always"
        set_gradient_checkpointing(base, self.recomputes)
        self.graphs: CutGraphs | None = None
        self.loss_graphs: CutGraphs | None = None
        if settings.graphs == "always" and placed.type != "meta":
            self.graphs = CutGraphs(
                self._add_gradients, self.adapter, placed, self._head.dtype, told=self.notes
            )
            self.loss_graphs = self.graphs.of_losses(self._recordable_loss)
        model.train()  # PEFT's wrapper says it is training while the frozen base inside is not

    def _cut_cost(self, config: Any) -> CutCost:
        """By the decoder's shape, which a base that attends its own way need not say."""
        if self.attention == "own":
            return CutCost()
        return CutCost.of_shape(DecoderShape.of_config(config))

    def recompute(self) -> None:
        """Recompute activations in the backward pass from now on. The gradient stays the same."""
        self.recomputes = True
        set_gradient_checkpointing(self.model.get_base_model(), True)

    def limit_cuts(self, token_budget: int) -> None:
        """Cut steps by this token budget from now on, whatever the recipe says. The gradient stays the same."""
        self.step_layout = replace(self.step_layout, token_budget=token_budget, micro_batch=None)

    def shorten_rows(self, max_length: int) -> None:
        """Pad the rows of the `padded` layout to so many tokens from now on."""
        self.step_layout = replace(self.step_layout, max_length=max_length)

    def lay_out(self, samples: Sequence[Sample]) -> list[MicroBatch]:
        """The micro-batches of a step, those of all processes, cut so that together they finish first.

        Numpy only, so a background worker can do it ahead of time.
        """
        return self.step_layout.lay_out(samples, self.processes.count)

    def gradients(
        self, samples: Sequence[Sample], batches: Sequence[MicroBatch] | None = None
    ) -> StepResult:
        """Fill the adapter's gradients with those of the mean token loss over `samples`, in every process.

        Args:
            samples: the samples of the step.
            batches: their micro-batches, where they were laid out ahead; else they are laid out here.

        Raises:
            StepOutOfMemory: in all processes, when one of them had too little memory.
            Stopped: another process has ended.
        """
        if batches is None:
            batches = self.lay_out(samples)
        supervised = sum(batch.supervised_tokens for batch in batches)
        while True:
            flat = self._together(partial(self._own_gradients, batches, supervised))
            total = self.processes.sum_gradients(self.adapter, flat)
            loss, self.grad_norm = self._together(partial(self._read, total, supervised))
            if not (math.isfinite(loss) and self.loss_scale.again(self.grad_norm)):
                break
        return StepResult(
            loss=loss,
            supervised_tokens=supervised,
            layout_tokens=sum(batch.layout_tokens for batch in batches),
            cuts=len(batches),
        )

    def _together(self, work: Callable[[], T]) -> T:
        """What `work` returns in this process, where no process runs out of memory over it.

        All that allocates memory within a step goes through here: a process that failed alone would do the step again
        alone, and meet the others at another place of it.
        """
        result, problem = attempt(work)
        if self.processes.any(problem is not None):
            self.drop_gradients()
            self.drop_graphs("memory ran out in a step, and they hold some")
            raise StepOutOfMemory(problem or "another process ran out of memory")
        return cast(T, result)

    def _own_gradients(self, batches: Sequence[MicroBatch], supervised: int) -> Tensor:
        """Gradients and loss of this process's share, in the buffer that is summed: no memory is needed after it."""
        shares = deal(batches, self.step_layout.cost, self.processes.count)
        total = self.accumulate(shares[self.processes.rank], supervised)
        return self.processes.gradient_buffer(self.adapter, total)

    def accumulate(self, batches: Sequence[MicroBatch], supervised: int) -> Tensor:
        """Forward and backward passes of all micro-batches, from empty gradients; never waits for the device.

        Args:
            batches: the micro-batches.
            supervised: supervised tokens of the whole step, by which each loss is divided.

        Returns:
            The sum of the token losses, a detached scalar on the device.
        """
        self.begin(training=True)
        total = torch.zeros((), dtype=torch.float32, device=self._head.device)
        factor = self.loss_factor(supervised)
        recorded = self._recorded(self.graphs, factor)
        try:
            for batch in batches:
                loss = recorded.replayed(batch) if recorded is not None else None
                total += self.add_gradients(batch, factor) if loss is None else loss
        finally:
            self.end()
        self.adapter.collect()
        return total

    def begin(self, *, training: bool) -> None:
        """Before the first micro-batch: no gradients, and the adapter's numbers as the passes take them."""
        if self.model.training != training:
            self.model.train(training)
        if training:
            self.drop_gradients()
        self._decoder = self._in_few_operators()
        if self._decoder is None:
            self._kernels.left_out()
        else:
            if self.graphs is not None:
                self._decoder.keep()
            self._decoder.prepare(training=training)

    def end(self) -> None:
        """After the last micro-batch: let go of what `begin` took."""
        if self._decoder is not None:
            self._decoder.release()

    def loss_factor(self, supervised: int) -> Tensor:
        """What a sum of losses is multiplied by, of a step with so many supervised tokens; an fp32 scalar."""
        value = self.loss_scale.factor / supervised
        return torch.full((), value, dtype=torch.float32, device=self._head.device)

    def add_gradients(self, batch: MicroBatch, factor: Tensor) -> Tensor:
        """Add a micro-batch's gradients, times a factor; its loss summed over tokens, detached. After `begin`."""
        return self._add_gradients(batch, BatchTensors.of(batch, self._head.device), factor)

    def _add_gradients(self, batch: MicroBatch, tensors: BatchTensors, factor: Tensor) -> Tensor:
        loss = self._sum_of_losses(batch, tensors, factor)
        loss.backward()
        return loss.detach()

    def _recorded(self, graphs: CutGraphs | None, factor: Tensor | None = None) -> CutGraphs | None:
        """Recorded cuts, ready for a step (with its factor) or a validation; None where cuts cannot be recorded."""
        decoder = self._decoder
        able = decoder is not None and decoder.recordable
        if graphs is None or not graphs.usable(able) or decoder is None:
            return None
        places: tuple[Any, ...] = (decoder.places, self._head.data_ptr())
        if factor is not None:
            self.adapter.collected()
            places += (self.adapter.place, self.recomputes)
        graphs.begin(factor, places)
        return graphs

    def drop_graphs(self, reason: str) -> None:
        """Let go of all recorded cuts, where there are any, and record none from now on."""
        for each in (self.graphs, self.loss_graphs):
            if each is not None:
                each.give_up(reason)

    def drop_gradients(self) -> None:
        """Let go of all gradients and their memory."""
        self.adapter.drop()

    @property
    def decoder(self) -> Any:
        """What computes the layers, a module with `layers` and a `norm`: those in few operators, or the base itself."""
        return self._in_few_operators() or self._backbone

    @property
    def known_layers(self) -> bool:
        """Whether the base's layers are computed in few operators."""
        return self._in_few_operators() is not None

    def _in_few_operators(self) -> Decoder | None:
        own = self.own_layers or self.attention == "own"
        return None if own else self._known.decoder()

    def update(self, learning_rate: float) -> float:
        """Clip the gradient and step the optimizer, waiting for nothing; returns the norm before clipping.

        The rate is that of A matrices; where the recipe has `lora_plus`, B matrices learn with its multiple.

        A gradient that is not a number moves no weight.
        """
        norm = self.grad_norm
        if not math.isfinite(norm):
            return norm
        if norm > self.clip:
            # Clipped to a hair below the limit, as torch.nn.utils.clip_grad_norm_ does.
            self.adapter.collected().mul_(self.clip / (norm + 1e-6))
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.loss_scale.stepped()
        return norm

    def _read(self, total: Tensor, supervised: int) -> tuple[float, float]:
        """Mean loss and global norm of the gradient as numbers, the gradient rid of its scale: the one wait of a step.

        Args:
            total: sum of the step's token losses.
            supervised: supervised tokens of the step.
        """
        loss = total / supervised
        gradient = self.adapter.collected()
        if self.loss_scale.used:
            gradient.mul_(1 / self.loss_scale.factor)
        norm = torch.linalg.vector_norm(gradient)
        values: list[float] = torch.stack([loss, norm.to(loss.dtype)]).tolist()
        return values[0], values[1]

    @torch.no_grad()
    def loss(self, samples: Sequence[Sample]) -> tuple[float, int]:
        """Sum of the token losses of `samples`, nats, and their supervised tokens. Dropout off, no gradients.

        This process computes all of it.
        """
        batches = self.step_layout.lay_out(samples)
        self.begin(training=False)
        total = torch.zeros((), dtype=torch.float32, device=self._head.device)
        recorded = self._recorded(self.loss_graphs)
        try:
            for batch in batches:
                loss = recorded.replayed(batch) if recorded is not None else None
                total += self.loss_alone(batch) if loss is None else loss
        finally:
            self.end()
        return total.item(), sum(batch.supervised_tokens for batch in batches)

    def loss_alone(self, batch: MicroBatch) -> Tensor:
        """A micro-batch's loss summed over tokens. After `begin`, and where no gradients are taken."""
        return self._sum_of_losses(batch, BatchTensors.of(batch, self._head.device))

    def _recordable_loss(self, batch: MicroBatch, tensors: BatchTensors, _factor: Tensor) -> Tensor:
        return self._sum_of_losses(batch, tensors)

    def _sum_of_losses(
        self, batch: MicroBatch, tensors: BatchTensors, factor: Tensor | None = None
    ) -> Tensor:
        hidden = hidden_states(
            self._backbone, self.attention, batch, tensors, self._head.dtype, self._decoder
        )
        scored = hidden.flatten(0, 1).index_select(0, tensors.predict)
        return sum_of_token_losses(
            scored,
            self._head,
            tensors.labels,
            self.settings.head_chunk,
            self._logit_change,
            factor=factor,
            gpu=self._gpu,
        )
