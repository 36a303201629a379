"""What other rooms use of this one; `__init__.py` fetches it when it is asked for."""

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
from .recovery.non_finite import (
    NotANumber as NotANumber,
)
from .start import (
    train as train,
)
