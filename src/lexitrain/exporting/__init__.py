"""Export: merged weights, files for llama.cpp and phones, and proof that nothing was lost on the way."""

from __future__ import annotations

from lexitrain.exporting.beside.phones import PhoneBudget
from lexitrain.exporting.export import export, require_exportable
from lexitrain.exporting.export_report import ExportedFile, ExportReport
from lexitrain.exporting.serve import serve

__all__ = ["ExportReport", "ExportedFile", "PhoneBudget", "export", "require_exportable", "serve"]
