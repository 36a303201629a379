"""What other rooms use of this one; `__init__.py` fetches it when it is asked for."""

from .before.built_step import (
    built_step as built_step,
)
from .before.disk_room import (
    DiskRoom as DiskRoom,
)
from .before.disk_room import (
    require_disk_room as require_disk_room,
)
from .before.real_samples import (
    two_samples as two_samples,
)
from .before.run_folder import (
    require_run_folder as require_run_folder,
)
from .event_log import (
    Observer as Observer,
)
from .event_log import (
    Progress as Progress,
)
from .event_log import (
    Silent as Silent,
)
from .inputs.own_recipe import (
    run_recipe as run_recipe,
)
from .outcome.learning_curve import (
    judged as judged,
)
from .outcome.result import (
    TrainingResult as TrainingResult,
)
from .per_task import (
    recipe_of_task as recipe_of_task,
)
from .recovery.memory_ladder import (
    OutOfRungs as OutOfRungs,
)
from .recovery.mirror_restore import (
    require_place as require_place,
)
from .recovery.non_finite import (
    NotANumber as NotANumber,
)
from .recovery.notebook_machine import (
    NotebookMachine as NotebookMachine,
)
from .recovery.notebook_machine import (
    this_machine as this_machine,
)
from .recovery.notebook_machine import (
    with_mirror as with_mirror,
)
from .start import (
    train as train,
)
