"""docs/bases.md says what the tests prove."""

from __future__ import annotations

import pytest

from lexitrain.models.families import EVERY_LAYOUT
from tests.bases.families import FAMILIES
from tests.bases.table import PAGE, page

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


def test_the_page_is_what_python_m_tests_bases_table_writes():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_family_that_is_offered_all_layouts_is_built_here():
    assert FAMILIES.keys() >= EVERY_LAYOUT
    assert len(FAMILIES) >= 25
