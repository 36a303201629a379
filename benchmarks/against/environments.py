"""A virtual environment for each side: pinned packages, and the torch with CUDA that the machine brings.

Standard library only. What the machine has of torch is seen through (`--system-site-packages`) and held by a
constraint, so that pip cannot replace it; every other package is installed anew in the pinned version.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.against.parts import ROOT, checkout_commit

_PINS = Path(__file__).with_name("unsloth.txt")
_LOCK = ROOT / "requirements.lock"
_KERNELS = ("unsloth", "install-kernels", "xformers")
"""Unsloth's own way to the attention kernels that fit this torch; without them it does, and the result says so."""
_KEPT = re.compile(r"(torch|torchvision|torchaudio|triton|nvidia-.*|cuda-.*)$")
"""Packages that stay as the machine has them."""


def make_environments(folder: Path, *, rival: bool) -> tuple[dict[str, str], str]:
    """Both environments, made once.

    Args:
        folder: that they lie in.
        rival: whether there is a card that the rival could use.

    Returns:
        the interpreter of each side, and why the rival has none (then empty).

    Raises:
        RuntimeError: ours cannot be made.
    """
    ours = _environment(folder / "lexitrain", [f"{ROOT}[all]"], _LOCK)
    if not rival:
        return {"lexitrain": str(ours), "unsloth": ""}, ""
    try:
        theirs = _environment(folder / "unsloth", ["-r", str(_PINS)], None, _KERNELS)
    except RuntimeError as error:
        return {"lexitrain": str(ours), "unsloth": ""}, f"its environment cannot be made: {error}"
    return {"lexitrain": str(ours), "unsloth": str(theirs)}, ""


def _environment(
    folder: Path, packages: list[str], lock: Path | None, afterwards: tuple[str, ...] = ()
) -> Path:
    """Interpreter of an environment with the packages, and a command of theirs run once, which may fail."""
    python, done = folder / "bin" / "python", folder / "done.txt"
    made_of = _PINS.read_text(encoding="utf-8") if lock is None else checkout_commit()
    if done.is_file() and done.read_text(encoding="utf-8") == made_of:
        return python
    shutil.rmtree(folder, ignore_errors=True)  # of another checkout, or half made
    _make(folder)
    if find_spec("torch") is not None and not _has(python, "torch"):
        _see_own_packages(python)
    constraints = folder / "kept.txt"
    constraints.write_text("\n".join(kept_versions(lock)) + "\n", encoding="utf-8")
    _pip(python, [*packages, "--constraint", str(constraints)])
    if _has(python, "torchao") and not _runs(
        python, "import peft.import_utils as p; p.is_torchao_available()"
    ):
        _pip(python, ["--upgrade", "torchao", "--constraint", str(constraints)])
    if afterwards:
        program, *arguments = afterwards
        command = [str(python.with_name(program)), *arguments]
        with suppress(FileNotFoundError):  # a version without that program
            subprocess.run(command, capture_output=True, check=False)
    done.write_text(made_of, encoding="utf-8")
    return python


def kept_versions(lock: Path | None) -> list[str]:
    """Constraints: what the machine has of torch and its company, then the lock's other pins."""
    kept = {}
    for each in distributions():
        name = each.name.lower().replace("_", "-")
        if _KEPT.match(name):
            kept[name] = each.version.split("+")[0]
    lines = [f"{name}=={kept[name]}" for name in sorted(kept)]
    pinned = [] if lock is None else lock.read_text(encoding="utf-8").splitlines()
    return lines + [
        line
        for line in pinned
        if "==" in line
        and not _KEPT.match(line.partition("==")[0].strip().lower().replace("_", "-"))
    ]


def _make(folder: Path) -> None:
    """An empty environment that sees the machine's packages; by virtualenv where Python came without pip's wheel."""
    command = [sys.executable, "-m", "venv", "--system-site-packages", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return
    try:
        version("virtualenv")
    except PackageNotFoundError:
        _pip(Path(sys.executable), ["virtualenv"])
    _said([sys.executable, "-m", "virtualenv", "--system-site-packages", str(folder)])


def _see_own_packages(python: Path) -> None:
    """Where this interpreter is itself in an environment: let the new one see that one's packages, torch above all."""
    spec = find_spec("torch")
    inside = _said([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if spec is not None and spec.origin is not None:
        place = Path(inside.strip()) / "machine.pth"
        place.write_text(f"{Path(spec.origin).parents[1]}\n", encoding="utf-8")


def _has(python: Path, module: str) -> bool:
    return _runs(python, f"from importlib.util import find_spec as f; assert f({module!r})")


def _runs(python: Path, code: str) -> bool:
    return (
        subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0
    )


def _pip(python: Path, arguments: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _said([*command, *arguments])


def _said(command: list[str]) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} …: {done.stderr.strip()[-600:]}")
    return done.stdout
