"""Files that survive a kill, a power cut and a full disk, the lock of a folder, what the system says of processes, and
whether the Hub answers.

Everything that the product writes goes through here.
"""

from __future__ import annotations

from lexitrain.storage.atomic import (
    UNFINISHED,
    file_at_once,
    folder_at_once,
    make_folder,
    remove_folder,
    write_file,
    write_folder,
    write_json,
)
from lexitrain.storage.database_url import DatabaseUrl, database_url
from lexitrain.storage.disk_errors import AWAY, FORBIDDEN, FULL, NO_SUCH_PLACE, disk_errors
from lexitrain.storage.file_hash import file_sha256
from lexitrain.storage.hub import hub_answers, hub_is_switched_off
from lexitrain.storage.journal import append_to_journal, whole_lines
from lexitrain.storage.json_text import json_text
from lexitrain.storage.lock import Lock, is_held, is_held_here
from lexitrain.storage.process_identity import boot_id, launcher_number
from lexitrain.storage.processor_time import ProcessorTime
from lexitrain.storage.usable_cores import usable_cores
from lexitrain.storage.user_paths import cache_folder, configuration_folder, told_apart, user_path

__all__ = [
    "AWAY",
    "FORBIDDEN",
    "FULL",
    "NO_SUCH_PLACE",
    "UNFINISHED",
    "DatabaseUrl",
    "Lock",
    "ProcessorTime",
    "append_to_journal",
    "boot_id",
    "cache_folder",
    "configuration_folder",
    "database_url",
    "disk_errors",
    "file_at_once",
    "file_sha256",
    "folder_at_once",
    "hub_answers",
    "hub_is_switched_off",
    "is_held",
    "is_held_here",
    "json_text",
    "launcher_number",
    "make_folder",
    "remove_folder",
    "told_apart",
    "usable_cores",
    "user_path",
    "whole_lines",
    "write_file",
    "write_folder",
    "write_json",
]
