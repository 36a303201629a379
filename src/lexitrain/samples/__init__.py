"""Samples: records as the model sees them, rendered with the chat template, tokenized, and kept in flat arrays."""

from __future__ import annotations

from lexitrain.samples.chat_template import ChatTemplate, chosen_template
from lexitrain.samples.data_files import file_facts
from lexitrain.samples.fingerprint import base_fingerprint, hash_of, samples_key
from lexitrain.samples.lengths import MULTIPLE, LengthReport, length_report
from lexitrain.samples.loading import RunSamples, load_samples, require_known_tasks
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.sample import Ids, Sample
from lexitrain.samples.stop_tokens import rows_without_stop
from lexitrain.samples.store import Samples, collect, read_saved
from lexitrain.samples.template_date import with_date
from lexitrain.samples.unlearnt_bytes import unlearnt_bytes

__all__ = [
    "MULTIPLE",
    "ChatTemplate",
    "Ids",
    "LengthReport",
    "Renderer",
    "RunSamples",
    "Sample",
    "Samples",
    "base_fingerprint",
    "chosen_template",
    "collect",
    "file_facts",
    "hash_of",
    "length_report",
    "load_samples",
    "read_saved",
    "require_known_tasks",
    "rows_without_stop",
    "samples_key",
    "unlearnt_bytes",
    "with_date",
]
