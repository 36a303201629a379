"""The forms of an export, written one after the other into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from lexitrain.exporting.beside.card import merged_card
from lexitrain.exporting.beside.grammars import write_grammars
from lexitrain.exporting.beside.modelfile import require_modelfile, write_modelfile
from lexitrain.exporting.beside.phones import phone_budget
from lexitrain.exporting.counted import Progress, counted
from lexitrain.exporting.export_report import ExportedFile, ExportReport
from lexitrain.exporting.gguf.importance import importance_of
from lexitrain.exporting.gguf.mixtures import mixture
from lexitrain.exporting.gguf.writing import predicted_bytes, write_gguf
from lexitrain.exporting.merging.merge_error import merge_error
from lexitrain.exporting.merging.merged_folder import write_merged

if TYPE_CHECKING:
    import numpy as np

    from lexitrain.exporting.exported_model import ExportedModel
    from lexitrain.exporting.verification.verification import Verifier
    from lexitrain.samples import Sample

FORMS = ("merged", "gguf", "gguf-lora", "ollama", "onnx", "best")
_MERGE_RECORDS = 16
_CANDIDATES = ("Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")
"""What `best` tries."""
_ANSWER_TOKENS = 512


class FormWriter:
    """Writes the forms of one export.

    Attributes:
        verifier: of GGUF files; None: they are not verified.

    Args:
        model: that is exported.
        folder: that everything goes to.
        progress: as of `export`.
        importance: training samples over which it is measured which inputs matter.
    """

    def __init__(
        self, model: ExportedModel, folder: Path, progress: Progress | None, importance: int
    ) -> None:
        self.verifier: Verifier | None = None
        self._model = model
        self._folder = folder
        self._progress = progress
        self._importance_samples = importance
        self._importance: dict[str, np.ndarray] | None = None
        self._files: list[ExportedFile] = []
        self._beside: list[Path] = []
        self._notes: list[str] = []

    def write(
        self, forms: Sequence[str], quantize: Sequence[str], max_mb: float | None
    ) -> ExportReport:
        """Write all forms.

        Args:
            quantize: names of mixtures.
            max_mb: largest file that `best` takes.
        """
        chosen: Path | None = None
        self._require(forms)
        if "merged" in forms or "onnx" in forms:
            self._write_merged()
        if "gguf" in forms or "ollama" in forms:
            for name in quantize:
                self._files.append(self._gguf(name))
        if "ollama" in forms:
            self._write_modelfile(self._files[-1].path, None)
        if "gguf-lora" in forms:
            self._write_adapter_and_base(quantize[-1], "ollama" in forms)
        if "onnx" in forms:
            self._write_onnx()
        if "best" in forms:
            chosen = self._find_best(max_mb)
        self._beside += write_grammars(self._folder, self._model.tasks)
        return ExportReport(
            self._model.located.name,
            self._folder,
            tuple(self._files),
            chosen,
            "best" in forms,
            tuple(self._beside),
            tuple(self._notes),
        )

    def _require(self, forms: Sequence[str]) -> None:
        """Nothing, where each form can be had of this model: none is written where another one is refused."""
        if "gguf-lora" in forms:
            from lexitrain.exporting.gguf.adapter_file import gguf_deltas

            adapter = self._model.required_adapter()
            with self._model.weights(adapter=False) as weights:
                gguf_deltas(weights, adapter)
        if "ollama" in forms:
            require_modelfile(self._model.renderer, self._system)

    @property
    def _system(self) -> str:
        """The system turn of the tasks."""
        return next(iter(self._model.tasks.values())).system

    def _write_merged(self) -> None:
        start, path = perf_counter(), self._folder / "merged"
        with self._model.weights() as weights:
            write_merged(
                path,
                weights,
                self._model.renderer.tokenizer,  # which has been shown to write what it reads
                merged_card(self._model),
                progress=self._progress,
            )
        seconds = perf_counter() - start
        samples = self._merge_samples()
        error = None
        if samples:
            error = merge_error(
                self._model.loaded,
                path,
                samples,
                counted("merged: logits", len(samples), self._progress),
            )
        else:
            self._notes.append("The merge error is not measured: no records are at hand.")
        size = sum(each.stat().st_size for each in path.iterdir() if each.is_file())
        tasks = () if self.verifier is None else self.verifier.scores(path, self._progress)
        self._files.append(
            ExportedFile(path, "merged", None, size, seconds, merge=error, merge_tasks=tasks)
        )

    def _merge_samples(self) -> list[Sample]:
        if self.verifier is not None:
            return list(self.verifier.samples)
        return self._model.held_out_samples(_MERGE_RECORDS)

    def _gguf(self, name: str, *, verified: bool = True) -> ExportedFile:
        start, chosen = perf_counter(), mixture(name)
        path = self._folder / f"{self._model.name}-{name}.gguf"
        with self._model.weights() as weights:
            tensors = write_gguf(
                path,
                weights,
                self._model.tokenizer,
                self._model.renderer.end_of_turn_id,
                chosen,
                self._model.about,
                importance=self._measured_importance(),
                progress=self._progress,
            )
            context = self._model.located.max_length + _ANSWER_TOKENS
            phone = phone_budget(path.stat().st_size, weights.config, context)
        seconds = perf_counter() - start
        found = None
        if verified and self.verifier is not None:
            found = self.verifier.verify(path, name, self._progress)
        return ExportedFile(
            *(path, "gguf", name, path.stat().st_size, seconds, tensors),
            verification=found,
            phone=phone,
        )

    def _write_adapter_and_base(self, name: str, modelfile: bool) -> None:
        from lexitrain.exporting.gguf.adapter_file import write_gguf_adapter

        adapter = self._model.required_adapter()
        base_name = self._model.base_name
        if base_name == self._model.name:  # the merged model's file has that name
            base_name += "-base"
        base = self._folder / f"{base_name}-{name}.gguf"
        start = perf_counter()
        with self._model.weights(adapter=False) as weights:
            tensors = write_gguf(
                base,
                weights,
                self._model.tokenizer,
                self._model.renderer.end_of_turn_id,
                mixture(name),
                self._model.about,
                progress=self._progress,
            )
            written = perf_counter()
            path = self._folder / f"{self._model.name}-adapter.gguf"
            size = write_gguf_adapter(path, weights, adapter, self._model.name)
        seconds = perf_counter() - written
        self._files.append(
            ExportedFile(base, "base", name, base.stat().st_size, written - start, tensors)
        )
        found = None
        if self.verifier is not None:
            found = self.verifier.verify(base, name, self._progress, adapter=path)
        self._files.append(ExportedFile(path, "gguf-lora", None, size, seconds, verification=found))
        if modelfile:
            self._write_modelfile(base, path)

    def _write_modelfile(self, file: Path, adapter: Path | None) -> None:
        model = self._model
        path = self._folder / ("Modelfile" if adapter is None else "Modelfile.adapter")
        write_modelfile(
            path,
            model.renderer,
            self._system,
            model=file.name,
            adapter=None if adapter is None else adapter.name,
            context=model.located.max_length + _ANSWER_TOKENS,
        )
        self._beside.append(path)

    def _write_onnx(self) -> None:
        from lexitrain.exporting.onnx_folder import write_onnx

        start, path = perf_counter(), self._folder / "onnx"
        write_onnx(path, self._folder / "merged", self._model.renderer)
        size = sum(each.stat().st_size for each in path.iterdir() if each.is_file())
        self._files.append(ExportedFile(path, "onnx", "int4", size, perf_counter() - start))
        if self.verifier is not None:
            self._notes.append(
                "The ONNX folder is not verified: that is done with GGUF files alone."
            )

    def _find_best(self, max_mb: float | None) -> Path | None:
        """Write and verify candidates, the smallest first, up to the first one that passes; the others are deleted."""
        with self._model.weights() as weights:
            sizes = {name: predicted_bytes(weights, mixture(name)) for name in _CANDIDATES}
        for name in sorted(sizes, key=lambda each: sizes[each]):
            if max_mb is not None and sizes[name] > max_mb * 1e6:
                continue
            file = self._gguf(name)
            too_large = max_mb is not None and file.bytes > max_mb * 1e6
            self._files.append(file)
            if file.verification is not None and not file.verification.missed and not too_large:
                return file.path
            file.path.unlink()
        return None

    def _measured_importance(self) -> dict[str, np.ndarray] | None:
        if self._importance_samples and self._importance is None:
            samples = self._model.training_samples(self._importance_samples)
            with self._model.weights() as weights:
                self._importance = importance_of(
                    weights, samples, counted("importance", len(samples), self._progress)
                )
        return self._importance
