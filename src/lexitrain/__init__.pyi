"""The library: everything that the commands call. docs/api.md describes each name."""

from .abtest import (
    AbLimits as AbLimits,
)
from .abtest import (
    AbPlan as AbPlan,
)
from .abtest import (
    AbQuestion as AbQuestion,
)
from .abtest import (
    AbReport as AbReport,
)
from .abtest import (
    AbTraffic as AbTraffic,
)
from .abtest import (
    FormerTest as FormerTest,
)
from .abtest import (
    GuardrailLimits as GuardrailLimits,
)
from .abtest import (
    Observations as Observations,
)
from .abtest import (
    PlannedTest as PlannedTest,
)
from .abtest import (
    RequestLimits as RequestLimits,
)
from .abtest import (
    former_test as former_test,
)
from .abtest import (
    is_share as is_share,
)
from .abtest import (
    plan_ab as plan_ab,
)
from .abtest import (
    read_ab as read_ab,
)
from .abtest import (
    read_observations as read_observations,
)
from .abtest import (
    read_planned as read_planned,
)
from .abtest import (
    report_ab as report_ab,
)
from .abtest import (
    serve_ab as serve_ab,
)
from .building import (
    BuildObserver as BuildObserver,
)
from .building import (
    BuildOutlook as BuildOutlook,
)
from .building import (
    BuildResult as BuildResult,
)
from .building import (
    Choices as Choices,
)
from .building import (
    build as build,
)
from .building import (
    outlook as outlook,
)
from .comparison import (
    ModelComparison as ModelComparison,
)
from .comparison import (
    compare as compare,
)
from .diagnosis import (
    Cause as Cause,
)
from .diagnosis import (
    Check as Check,
)
from .diagnosis import (
    MachineFacts as MachineFacts,
)
from .diagnosis import (
    Preflight as Preflight,
)
from .diagnosis import (
    SlowRun as SlowRun,
)
from .diagnosis import (
    preflight as preflight,
)
from .diagnosis import (
    slow_run as slow_run,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    DeviceError as DeviceError,
)
from .errors import (
    InputError as InputError,
)
from .errors import (
    LexiTrainError as LexiTrainError,
)
from .errors import (
    MissingExtra as MissingExtra,
)
from .errors import (
    ModelError as ModelError,
)
from .errors import (
    RecipeError as RecipeError,
)
from .errors import (
    RunChanged as RunChanged,
)
from .errors import (
    RunError as RunError,
)
from .errors import (
    RunInUse as RunInUse,
)
from .errors import (
    Stopped as Stopped,
)
from .errors import (
    TaskError as TaskError,
)
from .evaluation import (
    Answerer as Answerer,
)
from .evaluation import (
    AskedConversations as AskedConversations,
)
from .evaluation import (
    ConversationEvaluation as ConversationEvaluation,
)
from .evaluation import (
    Decoding as Decoding,
)
from .evaluation import (
    Evaluation as Evaluation,
)
from .evaluation import (
    EvaluationReport as EvaluationReport,
)
from .evaluation import (
    HeldOut as HeldOut,
)
from .evaluation import (
    Prediction as Prediction,
)
from .evaluation import (
    TaskEvaluation as TaskEvaluation,
)
from .evaluation import (
    Tutor as Tutor,
)
from .evaluation import (
    answer as answer,
)
from .evaluation import (
    evaluate as evaluate,
)
from .evaluation import (
    read_conversations as read_conversations,
)
from .exporting import (
    ExportedFile as ExportedFile,
)
from .exporting import (
    ExportReport as ExportReport,
)
from .exporting import (
    PhoneBudget as PhoneBudget,
)
from .exporting import (
    export as export,
)
from .exporting import (
    serve as serve,
)
from .planning import (
    Band as Band,
)
from .planning import (
    Calibration as Calibration,
)
from .planning import (
    Comparison as Comparison,
)
from .planning import (
    Gpu as Gpu,
)
from .planning import (
    Option as Option,
)
from .planning import (
    Plan as Plan,
)
from .planning import (
    Planner as Planner,
)
from .planning import (
    Recommendation as Recommendation,
)
from .planning import (
    calibration_folder as calibration_folder,
)
from .planning import (
    find_gpu as find_gpu,
)
from .planning import (
    gpu_names as gpu_names,
)
from .planning import (
    measure_lengths as measure_lengths,
)
from .planning import (
    measured_device as measured_device,
)
from .planning import (
    plan as plan,
)
from .planning import (
    with_installed_memory as with_installed_memory,
)
from .preparation import (
    prepare as prepare,
)
from .preparation import (
    saved_advice as saved_advice,
)
from .recipe import (
    Recipe as Recipe,
)
from .recipe import (
    field_text as field_text,
)
from .recipe import (
    field_value as field_value,
)
from .recipe import (
    load_recipe as load_recipe,
)
from .recipe import (
    recipe_fields as recipe_fields,
)
from .recipe import (
    recipe_names as recipe_names,
)
from .recipe import (
    recipe_to_yaml as recipe_to_yaml,
)
from .recipe import (
    recipe_with_tasks as recipe_with_tasks,
)
from .records import (
    REPORT as REPORT,
)
from .records import (
    SPLITS as SPLITS,
)
from .records import (
    TRAIN as TRAIN,
)
from .records import (
    VALIDATION as VALIDATION,
)
from .records import (
    Record as Record,
)
from .records import (
    file_name as file_name,
)
from .reporting import (
    check_picture as check_picture,
)
from .reporting import (
    check_png as check_png,
)
from .reporting import (
    draw_lengths as draw_lengths,
)
from .reporting import (
    draw_plan as draw_plan,
)
from .reporting import (
    draw_tuning as draw_tuning,
)
from .reporting import (
    write_ab_page as write_ab_page,
)
from .reporting import (
    write_comparison_page as write_comparison_page,
)
from .reporting import (
    write_notebook as write_notebook,
)
from .reporting import (
    write_run_page as write_run_page,
)
from .reporting import (
    write_runs_page as write_runs_page,
)
from .runs import (
    Event as Event,
)
from .runs import (
    Pruned as Pruned,
)
from .runs import (
    Run as Run,
)
from .runs import (
    RunSummary as RunSummary,
)
from .runs import (
    list_runs as list_runs,
)
from .runs import (
    prune_run as prune_run,
)
from .runs import (
    verify_run as verify_run,
)
from .samples import (
    LengthReport as LengthReport,
)
from .synthetic import (
    generate as generate,
)
from .synthetic import (
    generate_file as generate_file,
)
from .tasks import (
    Score as Score,
)
from .training import (
    Observer as Observer,
)
from .training import (
    Progress as Progress,
)
from .training import (
    Silent as Silent,
)
from .training import (
    TrainingResult as TrainingResult,
)
from .training import (
    run_recipe as run_recipe,
)
from .training import (
    train as train,
)
from .tuning import (
    Best as Best,
)
from .tuning import (
    SweepPoint as SweepPoint,
)
from .tuning import (
    TuningObserver as TuningObserver,
)
from .tuning import (
    TuningResult as TuningResult,
)
from .tuning import (
    tune as tune,
)

__version__: str
from .watching import (
    LiveRun as LiveRun,
)
from .watching import (
    TimeLeft as TimeLeft,
)
from .watching import (
    live_run as live_run,
)
from .watching import (
    tell_trackers as tell_trackers,
)
