"""What other rooms use of this one; `__init__.py` fetches it when it is asked for."""

from .devices.calibration import (
    Calibration as Calibration,
)
from .devices.calibration import (
    calibration_folder as calibration_folder,
)
from .devices.catalogue import (
    ON_A_MAC as ON_A_MAC,
)
from .devices.catalogue import (
    Gpu as Gpu,
)
from .devices.catalogue import (
    find_gpu as find_gpu,
)
from .devices.catalogue import (
    gpu_names as gpu_names,
)
from .devices.local import (
    device_at_hand as device_at_hand,
)
from .devices.local import (
    free_memory as free_memory,
)
from .devices.measurement import (
    measured_device as measured_device,
)
from .devices.processor import (
    has_apple_gpu as has_apple_gpu,
)
from .devices.processor import (
    threads as threads,
)
from .devices.processor import (
    with_installed_memory as with_installed_memory,
)
from .estimate.automatic_settings import (
    with_settings as with_settings,
)
from .estimate.plan import (
    Band as Band,
)
from .estimate.plan import (
    Plan as Plan,
)
from .estimate.plan import (
    make_plan as make_plan,
)
from .estimate.planned_steps import (
    PlannedData as PlannedData,
)
from .estimate.sample_lengths import (
    measure_lengths as measure_lengths,
)
from .estimate.search import (
    Option as Option,
)
from .estimate.search import (
    Recommendation as Recommendation,
)
from .estimate.step_costs import (
    planned_cut_cost as planned_cut_cost,
)
from .planner import (
    Planner as Planner,
)
from .planner import (
    plan as plan,
)
from .rehearsal.allocator import (
    overhead_bytes as overhead_bytes,
)
from .rehearsal.target import (
    Target as Target,
)
from .versus.comparison import (
    Comparison as Comparison,
)
