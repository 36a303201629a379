"""The benchmark as a notebook, for whoever has a T4: `python -m benchmarks.notebook`.

Writes notebooks/benchmark_t4.ipynb: thin cells over `python -m benchmarks.against`. A test holds the two equal.
"""

from __future__ import annotations

from pathlib import Path

from lexitrain.reporting.notebook import notebook_bytes

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "benchmark_t4.ipynb"

_TITLE = """# LexiTrain against Unsloth on your card

The same records, base, adapter, rates and supervised tokens, on the same card: how long each takes, how much memory,
how good both adapters are; then our run killed and gone on with, and a GGUF file that answers as the adapter does.

Choose a GPU (*Runtime*, *Change runtime type*, T4), then *Run all*. After a disconnect *Run all* again: the parts that
were done lie on your Drive and are not done again. At the end `result.json` names the card.
"""

_CHOICES = """# What is measured. Everything has a default.
BASE = "0.5B"  # Qwen2.5-0.5B-Instruct; or "1.5B", or "nano" to try the notebook in minutes
RECORDS = 6000  # generated, the same for everybody
EPOCHS = 2
OPTIONS = []  # such as ["--micro-batch", "24"] or ["--rival-checkpointing", "none"]: `python -m benchmarks.against -h`
CHECKOUT = ""  # LexiTrain: folder, .zip or git address; empty: beside this notebook, or on the Drive
ENVIRONMENTS = True  # an environment for each side; False: our half alone, with what is installed
"""

_STORAGE = """from pathlib import Path

if Path("/content").is_dir():
    try:
        from google.colab import drive
        drive.mount("/content/drive")
    except ImportError:  # not on Colab
        pass
DRIVE = Path("/content/drive/MyDrive")
if DRIVE.is_dir():
    KEEP, WORK = DRIVE / "lexitrain-benchmark", Path("/content/benchmark")
elif Path("/kaggle/working").is_dir():
    KEEP, WORK = Path("/kaggle/working/lexitrain-benchmark"), Path("/tmp/benchmark")
else:
    KEEP, WORK = Path("benchmark-kept").absolute(), Path("benchmark-work").absolute()
KEEP.mkdir(parents=True, exist_ok=True)
print(KEEP)
"""

_CHECKOUT = """import shutil
import subprocess
import sys


def checkout():
    \"\"\"The folder that holds `benchmarks/against`.\"\"\"
    if CHECKOUT.endswith(".zip"):
        shutil.unpack_archive(CHECKOUT, WORK.parent / "lexitrain-checkout")
    elif "://" in CHECKOUT and not (WORK.parent / "lexitrain-checkout").is_dir():
        subprocess.run(["git", "clone", "--quiet", CHECKOUT, str(WORK.parent / "lexitrain-checkout")], check=True)
    here = Path.cwd()
    roots = [Path(CHECKOUT)] if CHECKOUT else []
    roots += [folder / "lexitrain-checkout" for folder in (WORK.parent, DRIVE)]
    roots += [here, *here.parents, Path("/kaggle/input")]
    for root in roots:
        for marked in (root / "benchmarks" / "against", *root.glob("*/benchmarks/against")):
            if marked.is_dir():
                return marked.parents[1]
    raise SystemExit("There is no LexiTrain checkout here: name its folder, .zip or git address in CHECKOUT.")


ROOT = checkout()
print(ROOT)
"""

_CARD = """found = shutil.which("nvidia-smi") and subprocess.run(
    ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv"], capture_output=True, text=True
).stdout
print(found or "No GPU: our half runs on the CPU, Unsloth's is left out and says so.")
"""

_ABOUT_RUN = """## Run

Each half is a process in its own virtual environment, since the two need other versions of the same packages; the
machine's torch with CUDA is kept by both. On a T4 this cell takes an hour or two. It prints a line a part; what a part
itself says is in `logs/`.
"""

_RUN = """command = [sys.executable, "-m", "benchmarks.against", "--work", str(WORK), "--keep", str(KEEP)]
command += ["--base", BASE, "--records", str(RECORDS), "--epochs", str(EPOCHS), *OPTIONS]
command += ["--make-environments"] if ENVIRONMENTS else []
process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in process.stdout:
    print(line, end="", flush=True)
assert process.wait() == 0, "The benchmark ended early; its message is above."
"""

_ABOUT_RESULT = """## The result

One file with all figures, versions and the card's name. A part that did not run says why.
"""

_RESULT = """import json

result = json.loads((KEEP / "result.json").read_text())
print(result["device"], result["driver"], result["commit"])
for name, part in result["parts"].items():
    print(f"{name:11} {part['state']:8} {part.get('reason', '').splitlines()[0] if part.get('reason') else ''}")
print(json.dumps(result["ratios"], indent=1) if result["ratios"] else "No ratios: one half did not run, or elsewhere.")
"""

_LAST = """The whole file is `lexitrain-benchmark/result.json` on your Drive (on Kaggle in the output). It holds
figures, versions and the card's name, and no record: it can be shared.
"""


def cells() -> list[tuple[str, str]]:
    """The notebook's cells."""
    return [
        ("markdown", _TITLE),
        ("code", _CHOICES),
        ("code", _STORAGE),
        ("code", _CHECKOUT),
        ("code", _CARD),
        ("markdown", _ABOUT_RUN),
        ("code", _RUN),
        ("markdown", _ABOUT_RESULT),
        ("code", _RESULT),
        ("markdown", _LAST),
    ]


def main() -> None:
    """Write it."""
    NOTEBOOK.write_bytes(notebook_bytes(cells()))
    print(f"Written to {NOTEBOOK}.")


if __name__ == "__main__":
    main()
