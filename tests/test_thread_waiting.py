"""How long torch's threads spin: set before torch is imported, never over what the user has set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

OWN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
SHOW = "\nimport os; print(os.environ.get('GOMP_SPINCOUNT'))"


def spin_count(code: str, **own: str) -> str:
    environment = {name: text for name, text in os.environ.items() if name not in OWN}
    done = subprocess.run(
        [sys.executable, "-c", code + SHOW],
        env=environment | own,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    ["import lexitrain", "import lexitrain.cli.main", "from lexitrain.tasks import registry"],
)
def test_it_is_set_whichever_way_the_product_is_entered(code: str):
    assert spin_count(code) == "100000"


def test_it_is_set_before_torch_is_imported():
    """A stand-in for torch, found first, says what the real one would read."""
    code = """
import sys, os
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("torch reads", os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Finder())
import lexitrain
lexitrain.train
"""
    assert spin_count(code).splitlines()[0] == "torch reads 100000"


@pytest.mark.parametrize("name", OWN)
def test_what_the_user_has_set_stays(name: str):
    found = spin_count("import lexitrain", **{name: "7"})
    assert found == ("7" if name == "GOMP_SPINCOUNT" else "None")


def test_nothing_happens_where_torch_was_imported_before():
    torch = "sys.modules['torch'] = types.ModuleType('torch')"
    assert spin_count(f"import sys, types; {torch}; import lexitrain") == "None"


def test_a_process_that_this_one_starts_has_it_too():
    child = "import os; print(os.environ['GOMP_SPINCOUNT'])"
    code = f"import lexitrain, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    assert spin_count(code).splitlines()[0] == "100000"
