"""Whether the installed packages are those that this version was made for: what notebook machines bring along clashes
most often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from lexitrain.diagnosis.check import Check, passed, refused, warned
from lexitrain.errors import InputError
from lexitrain.models import require_usable_packages
from lexitrain.step import bitsandbytes_uses, require_bitsandbytes

if TYPE_CHECKING:
    import torch

    from lexitrain.recipe import Recipe

_OWN = "lexitrain"
_NO_EXTRA = {"extra": ""}


def package_checks(recipe: Recipe, device: torch.device) -> Iterator[Check]:
    """Ranges, PEFT's neighbours, and bitsandbytes where the recipe needs it."""
    yield ranges_check(_own_requirements(), version)
    yield _torchao_check()
    yield bitsandbytes_check(recipe, device)


def ranges_check(requirements: Sequence[str], version_of: Callable[[str], str]) -> Check:
    """Whether each requirement is met.

    Args:
        requirements: as a package's metadata holds them; those of extras are passed over.
        version_of: the installed version of a package; raises PackageNotFoundError.
    """
    clashes: list[str] = []
    unmet: list[Requirement] = []
    for requirement in _parsed(requirements):
        try:
            installed = version_of(requirement.name)
        except PackageNotFoundError:
            clashes.append(f"{requirement.name} is not installed (needed: {requirement.specifier})")
            unmet.append(requirement)
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            clashes.append(f"{requirement.name} is {installed} (needed: {requirement.specifier})")
            unmet.append(requirement)
    if not clashes:
        return passed(
            "packages", "All packages are within the ranges that this version was made for."
        )
    wanted = " ".join(f"'{each.name}{each.specifier}'" for each in unmet)
    return warned(
        "packages",
        "; ".join(clashes) + ".",
        "Outside of these ranges nothing was tried: names may be missing, or mean something else.",
        f"pip install {wanted}, then restart the notebook's runtime, which still holds the old ones.",
    )


def _own_requirements() -> list[str]:
    try:
        return requires(_OWN) or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return []


def _parsed(requirements: Sequence[str]) -> Iterator[Requirement]:
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate(_NO_EXTRA):
            yield requirement


def _torchao_check() -> Check:
    try:
        require_usable_packages()
    except InputError as error:
        return refused("peft", error, "No adapter can be put on a base.")
    return passed("peft", "PEFT puts adapters on models beside what is installed.")


def bitsandbytes_check(recipe: Recipe, device: torch.device) -> Check:
    """Whether bitsandbytes gives back what it stored, on the device, where the recipe needs it."""
    uses = bitsandbytes_uses(recipe.model, recipe.optimizer)
    if not uses:
        return passed("bitsandbytes", "The recipe does not need it.")
    try:
        require_bitsandbytes(uses, device)
    except InputError as error:
        return refused(
            "bitsandbytes", error, f"The recipe stores numbers in {' and in '.join(uses)}."
        )
    return passed(
        "bitsandbytes", f"Numbers stored in {' and in '.join(uses)} come back on {device.type}."
    )
