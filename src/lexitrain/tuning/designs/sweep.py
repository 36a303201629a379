"""A grid: every combination of the values of the swept fields, each with several seeds.

`lora.rank` is special. An adapter's output is multiplied by alpha / rank, so that another rank alone would change the
scale too, and what the scale does would be taken for the rank's. Where the rank is swept and alpha is not, alpha
follows it and the scale stays the recipe's. With `lora.scaling: rslora` alpha stays: how the scale goes with the rank
is what that setting is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from lexitrain.errors import InputError, RecipeError
from lexitrain.recipe import (
    field_text,
    field_value,
    recipe_fields,
    recipe_from_yaml,
    recipe_to_yaml,
)
from lexitrain.tuning.designs.unit import Changes, Outcomes, Stage, Unit

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe

RANK, ALPHA, SCALING = "lora.rank", "lora.alpha", "lora.scaling"
_SET_BY_THE_STUDY = {"name", "description", "checkpoints.keep", "checkpoints.mirror"}
_OPENING, _CLOSING, _QUOTES = "[{", "]}", "'\""


@dataclass(frozen=True)
class Sweep:
    """The grid of a study.

    Attributes:
        axes: field -> its values, in the order given.
        seeds: of the runs of each combination.
        scale: alpha / rank that a swept rank keeps; None: alpha is the recipe's, or swept.
        own: the recipe's values of the axes, in their order, whether or not they are swept.
    """

    axes: Mapping[str, Sequence[Any]]
    seeds: Sequence[int]
    scale: float | None = None
    own: Sequence[Any] = ()

    @property
    def space(self) -> dict[str, Any]:
        """What is searched, as plain data."""
        return {
            "kind": "sweep",
            "fields": {field: list(values) for field, values in self.axes.items()},
            "seeds": list(self.seeds),
            "scale": self.scale,
        }

    @property
    def points(self) -> list[Changes]:
        """The combinations, in order."""
        return [self._point(values) for values in product(*self.axes.values())]

    @property
    def own_point(self) -> Changes:
        """The combination that is the recipe itself."""
        return self._point(self.own)

    @property
    def stages(self) -> list[Stage]:
        """One a combination: they do not cost alike."""
        return [Stage(self.title(point), len(self.seeds), 1.0, [point]) for point in self.points]

    def title(self, point: Changes) -> str:
        """The combination as `field=value`, without what follows from it."""
        return ", ".join(f"{field}={field_text(point[field])}" for field in self.axes)

    def due(self, outcomes: Outcomes) -> list[Unit]:
        """All that is not done: seed after seed, so that a study that is cut short has every value."""
        units = [Unit(point, 1.0, seed) for seed in self.seeds for point in self.points]
        return [each for each in units if each.key not in outcomes]

    def _point(self, values: Sequence[Any]) -> Changes:
        point = dict(zip(self.axes, values, strict=True))
        if self.scale is not None:
            point[ALPHA] = self.scale * point[RANK]
        return point


def sweep_of(recipe: Recipe, options: Sequence[str], seeds: int) -> Sweep:
    """The grid that `--sweep` asks for.

    Args:
        recipe: what is changed.
        options: `field=v1,v2,…`, one a field.
        seeds: runs of each combination; their seeds count up from the recipe's.

    Raises:
        RecipeError: a field or a value is none of a recipe's, or a combination contradicts itself.
        InputError: an option is not written like this, or says something twice.
    """
    axes: dict[str, list[Any]] = {}
    for option in options:
        field, values = _axis(recipe, option)
        if field in axes:
            raise InputError(
                f"{field} is swept twice.", where="--sweep", fix="Give all its values at once."
            )
        axes[field] = values
    follows = RANK in axes and ALPHA not in axes and SCALING not in axes
    scale = recipe.lora.scale if follows and recipe.lora.scaling == "standard" else None
    own = [_plain(field_value(recipe, field)) for field in axes]
    sweep = Sweep(axes, [recipe.seed + number for number in range(seeds)], scale, own)
    for point in sweep.points:
        changed(recipe, point)
    return sweep


def changed(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with these values. Raises RecipeError where they are not allowed together."""
    if not changes:
        return recipe
    import json

    overrides = [f"{field}={json.dumps(value)}" for field, value in changes.items()]
    return _overridden(recipe, overrides)


def _axis(recipe: Recipe, option: str) -> tuple[str, list[Any]]:
    field, equals, text = option.partition("=")
    field = field.strip()
    texts = _split(text)
    if not equals or not field or not all(texts):
        raise InputError(
            f"--sweep takes field=value,value,…, not '{option}'.",
            fix="Example: --sweep lora.rank=4,8,16",
        )
    if field in _SET_BY_THE_STUDY:
        raise InputError(
            f"{field} is what a study sets itself.",
            where=f"--sweep {option}",
            fix="Sweep another field.",
        )
    if field == "seed":
        raise InputError(
            "Seeds are no setting.", where="--sweep seed", fix="Say how many: --seeds 3"
        )
    known = {name for name, _ in recipe_fields()}
    found: list[Any] = []
    for each in texts:
        value = (
            field_value(_overridden(recipe, [f"{field}={each}"]), field) if field in known else None
        )
        if field not in known:
            _overridden(recipe, [f"{field}={each}"])  # says what is wrong with the name
            raise InputError(
                f"{field} is a section, not a field.",
                where=f"--sweep {option}",
                fix="Name a field in it.",
            )
        plain = _plain(value)
        if plain in found:
            raise InputError(f"The value {each} is given twice.", where=f"--sweep {option}")
        found.append(plain)
    return field, found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _overridden(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    try:
        return recipe_from_yaml(recipe_to_yaml(recipe), "the recipe", overrides)
    except RecipeError as error:
        where = error.where and error.where.replace("--set ", "--sweep ")
        raise RecipeError(error.what, where=where, fix=error.fix) from None


def _split(text: str) -> list[str]:
    """The values between commas; those inside brackets or quotes are part of a value."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
