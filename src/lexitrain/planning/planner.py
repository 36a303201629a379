"""What `lexitrain plan` answers: plans, comparisons and recommendations for one device and one set of records.

A recipe that was planned before costs nothing more: comparing and searching ask for the same ones again and again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.planning.candidates import candidates
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.processor import with_installed_memory
from lexitrain.planning.estimate.plan import Plan, make_plan
from lexitrain.planning.estimate.planned_data import mixture_data, own_data
from lexitrain.planning.estimate.search import recommend
from lexitrain.planning.estimate.warnings import warnings_of
from lexitrain.planning.versus.comparison import compare_plans, ran_in
from lexitrain.recipe import recipe_to_yaml
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexitrain.planning.devices.catalogue import Gpu
    from lexitrain.planning.estimate.search import Recommendation
    from lexitrain.planning.rehearsal.target import Engine
    from lexitrain.planning.versus.comparison import Comparison
    from lexitrain.recipe import Recipe


class Planner:
    """Plans recipes for one device and one set of records.

    Args:
        gpu: the device.
        data: the user's records, a file or a folder that `data prepare` wrote; `~` is a home folder. None: the lengths
            of the benchmark mixture.
        samples: how many training samples, where there is no `data`; None: as many as the mixture stands for.
        price: dollars an hour; None: the catalogue's.
        memory_gb: most memory to use, 10^9 bytes; None: what the device has.
        calibrated: use a measurement of the device where there is one.

    Raises:
        DataError: there are no records at `data`.
    """

    def __init__(
        self,
        gpu: Gpu,
        *,
        data: str | Path | None = None,
        samples: int | None = None,
        price: float | None = None,
        memory_gb: float | None = None,
        calibrated: bool = True,
    ) -> None:
        self._gpu, self._price, self._memory_gb = gpu, price, memory_gb
        self._calibrated = calibrated
        self._data_for = (
            mixture_data(samples) if data is None else own_data(user_path(data), _tokenizer_of)
        )
        self._known: dict[tuple[Engine, str], Plan] = {}

    def plan(self, recipe: Recipe, engine: Engine = "lexitrain") -> Plan:
        """What is foreseen for a recipe.

        Args:
            recipe: the recipe.
            engine: whose step is rehearsed: this product's, or that of the usual trainer (`trainer`), Transformers'
                Trainer with PEFT.

        Raises:
            InputError: as `make_plan`; or the records cannot be used.
        """
        key = (engine, recipe_to_yaml(recipe))
        if key not in self._known:
            self._known[key] = make_plan(
                recipe,
                self._gpu,
                self._data_for,
                memory_limit=None if self._memory_gb is None else 1e9 * self._memory_gb,
                price=self._price,
                calibrated=self._calibrated,
                engine=engine,
            )
        return self._known[key]

    def compare(
        self,
        old: Recipe,
        new: Recipe,
        *,
        old_engine: Engine | None = None,
        engine: Engine | None = None,
    ) -> Comparison:
        """Both recipes, what each difference does, and what is claimed of it.

        Args:
            old, new: the recipes.
            old_engine, engine: whose step each has; None: of the team's own recipes that of the usual trainer, which
                is what the team ran, of any other this product's.

        Raises:
            InputError: as `plan`.
        """
        engines = (old_engine or ran_in(old), engine or ran_in(new))
        return compare_plans(old, new, self.plan, engines)

    def recommend(
        self, own: Recipe, hours: float | None, overrides: Sequence[str] | None = None
    ) -> Recommendation:
        """Which recipe to take, of the shipped ones that a search tries and the user's own. Raises as `plan`.

        Args:
            own: the user's, with his overrides.
            hours: most expected hours; None: any.
            overrides: `field=value` each, that are kept in every choice; None: what differs from the shipped recipe of
                that name, if there is one.
        """
        among = candidates(own, overrides)
        return recommend(among, self.plan, hours=hours, memory_gb=self._memory_gb)

    def warnings(self, plan: Plan) -> list[str]:
        """What to know of a plan, and what to change; for a run that is kept below the current folder."""
        return warnings_of(plan, Path.cwd())


def plan(
    recipe: Recipe,
    gpu: Gpu | str = "T4",
    *,
    data: str | Path | None = None,
    samples: int | None = None,
    price: float | None = None,
    memory_gb: float | None = None,
    engine: Engine = "lexitrain",
) -> Plan:
    """What is foreseen for a recipe on a device. To plan several, keep a `Planner`.

    Args:
        recipe: its automatic settings are decided as training would decide them on this device.
        gpu: a name of the catalogue, `name=… tflops=… bandwidth=… memory=…`, or what `find_gpu` returned.
        data, samples, price, memory_gb: as of `Planner`.
        engine: as of `Planner.plan`.

    Raises:
        DeviceError: the device is unknown, or cannot compute as the recipe asks.
        DataError: there are no records, or none can be trained on.
        ModelError: the base's shape cannot be had.
        TaskError: `data.tasks` names a task that the benchmark mixture has not.
    """
    device = find_gpu(gpu) if isinstance(gpu, str) else gpu
    planner = Planner(
        with_installed_memory(device),
        data=data,
        samples=samples,
        price=price,
        memory_gb=memory_gb,
    )
    return planner.plan(recipe, engine)


def _tokenizer_of(recipe: Recipe) -> Any:
    from lexitrain.models import load_tokenizer  # torch: only where records are not rendered yet

    return load_tokenizer(recipe.model.base, recipe.model.revision)
