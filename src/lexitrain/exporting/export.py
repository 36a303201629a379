"""`export`: a trained model in the forms that other programs load, and what is shown of each.

Cost: each file is written a tensor at a time, in seconds for half a billion parameters; verifying loads the adapter's
model and lets it and each file answer the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from lexitrain.comparison import MARGIN
from lexitrain.errors import InputError, nearest
from lexitrain.evaluation import EvaluationReport, evaluate
from lexitrain.exporting.export_report import ExportReport
from lexitrain.exporting.exported_model import ExportedModel
from lexitrain.exporting.forms import FORMS, FormWriter
from lexitrain.exporting.gguf.mixtures import mixture
from lexitrain.exporting.gguf.writing import require_gguf
from lexitrain.exporting.verification.verification import Verifier
from lexitrain.serving import require_llama_cpp
from lexitrain.storage import disk_errors, user_path

Progress = Callable[[str, int, int], None]


def export(
    model: str | Path,
    to: Sequence[str] = ("gguf",),
    *,
    quantize: Sequence[str] = ("Q4_K_M",),
    out: str | Path | None = None,
    task: str | None = None,
    verify: str | Path | None = None,
    limit: int | None = None,
    margin: float = MARGIN,
    max_mb: float | None = None,
    importance: int = 0,
    reference: EvaluationReport | None = None,
    custom_tasks: Sequence[str] = (),
    trust_tasks: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write a model in forms that other programs load; nothing of it is left half-written.

    Args:
        model: a run, an adapter folder, or a base.
        to: forms: `merged` (a folder for transformers and vLLM), `gguf` (llama.cpp), `gguf-lora` (the base, and the
            adapter beside it), `ollama` (the same as `gguf`, with a Modelfile), `onnx` (onnxruntime-genai), `best` (the
            smallest GGUF file that is shown to be no worse than the adapter).
        quantize: mixtures of the GGUF files, such as F16, Q8_0, Q4_K_M.
        out: folder; by default the run's `export/`.
        task: whose adapter, where each task has its own.
        verify: held-out records, a file or a prepared folder: each GGUF file must answer them as the adapter does.
        limit: most records to verify with.
        margin: how much worse is no worse, in units of the score that decides a task.
        max_mb: largest file that `best` may take, 10^6 bytes.
        importance: training samples over which it is measured which inputs matter; 0: none.
        reference: the adapter's evaluation on the same records, where it is at hand.
        custom_tasks, trust_tasks: as of `evaluate`.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        InputError: there is no such form or quantization, or no folder to write to.
        ModelError: the model cannot be exported rightly; the message says why.
        MissingExtra: a package is not installed.
        Stopped: the disk is full; what was written before is whole.
    """
    forms, mixtures = require_exportable(
        to, quantize, max_mb, margin, importance=importance, verified=verify is not None
    )
    found = ExportedModel.found(model, task, custom_tasks, trust_tasks)
    folder = _folder(found, out)
    data = verify
    if "best" in forms and data is None:
        data = found.located.data
        if data is None:
            raise InputError(
                "The best file is found by records that the model was not trained on.",
                where="--verify",
                fix="Name them with --verify FILE.",
            )
    with disk_errors(folder):
        writer = FormWriter(found, folder, progress, importance)
        if data is not None:
            writer.verifier = _verifier(found, Path(data), limit, task, margin, reference, progress)
        report = writer.write(forms, mixtures, max_mb)
        report.save()
    return report


def require_exportable(
    to: Sequence[str],
    quantize: Sequence[str],
    max_mb: float | None = None,
    margin: float = MARGIN,
    *,
    importance: int = 0,
    verified: bool = False,
) -> tuple[tuple[str, ...], list[str]]:
    """The forms and the mixtures of an export that can be asked for here, whatever the model: takes no time.

    Args:
        to, quantize, max_mb, margin, importance: as of `export`.
        verified: whether the files are to answer records.

    Raises:
        InputError: there is no such form or quantization, or a limit is no number from 0 on.
        MissingExtra: a package is not installed.
    """
    forms = _known(to)
    mixtures = _mixtures(quantize)
    _require_sizes(importance, max_mb, margin)
    if {"gguf", "gguf-lora", "ollama", "best"} & set(forms):
        require_gguf()
    if verified or "best" in forms:
        require_llama_cpp()
    return forms, mixtures


def _known(to: Sequence[str]) -> tuple[str, ...]:
    for form in to:
        if form not in FORMS:
            close = nearest(form, FORMS)
            raise InputError(
                f"There is no form {form!r}.",
                where="--to",
                fix=(f"Did you mean {close}? " if close else "")
                + f"There are: {', '.join(FORMS)}.",
            )
    if not to:
        raise InputError("No form is named.", where="--to", fix=f"There are: {', '.join(FORMS)}.")
    return tuple(dict.fromkeys(to))


def _mixtures(quantize: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name.upper() for name in quantize))
    for name in names:
        mixture(name)
    if not names:
        raise InputError(
            "No quantization is named.", where="--quantize", fix="Take F16, Q8_0 or Q4_K_M."
        )
    return names


def _require_sizes(importance: int, max_mb: float | None, margin: float) -> None:
    for option, value, least in (
        ("--importance", importance, 0),
        ("--max-mb", 1 if max_mb is None else max_mb, 0),
        ("--margin", margin, 0),
    ):
        if not least <= value < math.inf:
            raise InputError(f"This is {value}.", where=option, fix="Give a number from 0 on.")


def _folder(found: ExportedModel, out: str | Path | None) -> Path:
    if out is not None:
        return user_path(out)
    if found.located.run is None:
        raise InputError(
            "A model that is no run has no folder of its own to export to.",
            where="--out",
            fix="Name a folder with --out.",
        )
    return found.located.run.path / "export"


def _verifier(
    found: ExportedModel,
    data: Path,
    limit: int | None,
    task: str | None,
    margin: float,
    reference: EvaluationReport | None,
    progress: Progress | None,
) -> Verifier:
    """The adapter's own answers, against which files are held."""
    if reference is None:
        reference = evaluate(
            found.located.name,
            data,
            task=task,
            limit=limit,
            progress=None
            if progress is None
            else lambda stage, done, total: progress(f"adapter: {stage}", done, total),
        )
    samples = found.samples([record for _, record in reference.data.records])
    if not samples:
        raise InputError("None of these records can be answered by this model.", where=data)
    return Verifier(found.loaded, found.renderer, samples, reference, data, limit, task, margin)
