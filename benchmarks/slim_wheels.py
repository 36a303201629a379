"""Wheels without what one kind of GPU machine cannot use: `python -m benchmarks.slim_wheels FOLDER…`.

bitsandbytes brings a library for each CUDA from 11.8 on and for other makers' cards, 43 MB; a machine with CUDA 13
loads one of them. Unsloth brings a web application. Both are left out, and the wheels are written anew with what is
left; what else is in them stays byte for byte. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path

DROPPED = {
    "bitsandbytes": r"bitsandbytes/libbitsandbytes_(?!cpu\.|cuda130\.).*\.so",
    "unsloth": r"studio/.*|unsloth-.*\.data/.*/studio/.*",
}
"""Distribution -> the files that are left out of its wheel."""


def slimmed(wheel: Path) -> int:
    """Write a wheel anew without the files that are left out; bytes saved, 0 where there are none.

    Args:
        wheel: stays as it is where nothing is left out.
    """
    pattern = DROPPED.get(wheel.name.partition("-")[0])
    if pattern is None:
        return 0
    before, new = wheel.stat().st_size, wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old:
        dropped = {each.filename for each in old.infolist() if re.fullmatch(pattern, each.filename)}
        if not dropped:
            return 0
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as slim:
            for each in old.infolist():
                if each.filename not in dropped:
                    content = old.read(each)
                    if each.filename.endswith(".dist-info/RECORD"):
                        content = _without(content, dropped)
                    slim.writestr(each, content, zipfile.ZIP_DEFLATED)
    new.replace(wheel)
    return before - wheel.stat().st_size


def _without(record: bytes, dropped: set[str]) -> bytes:
    """The wheel's list of its own files, less those."""
    lines = record.decode().splitlines(keepends=True)
    return "".join(line for line in lines if line.partition(",")[0] not in dropped).encode()


def main() -> None:
    """Slim all wheels of the folders, and say how large each folder is then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        wheels = sorted(folder.glob("*.whl"))
        saved = sum(map(slimmed, wheels))
        size = sum(wheel.stat().st_size for wheel in wheels)
        print(f"{folder}: {len(wheels)} wheels, {size / 1e6:.1f} MB; {saved / 1e6:.1f} MB left out")


if __name__ == "__main__":
    main()
