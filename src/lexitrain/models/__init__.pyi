"""What other rooms use of this one; `__init__.py` fetches it when it is asked for."""

from .adapter import (
    KEEPS_THE_BASE as KEEPS_THE_BASE,
)
from .adapter import (
    attach_adapter as attach_adapter,
)
from .adapter import (
    config_file as config_file,
)
from .adapter import (
    load_adapter as load_adapter,
)
from .adapter import (
    put_weights as put_weights,
)
from .adapter import (
    put_weights_of_run as put_weights_of_run,
)
from .adapter import (
    read_adapter_config as read_adapter_config,
)
from .adapter import (
    rest_file as rest_file,
)
from .adapter import (
    restore_adapter as restore_adapter,
)
from .adapter import (
    weights_file as weights_file,
)
from .architecture import (
    Architecture as Architecture,
)
from .architecture import (
    architecture_of as architecture_of,
)
from .attention.backend import (
    masked_by as masked_by,
)
from .attention.backend import (
    use_own_masks as use_own_masks,
)
from .attention.backend import (
    with_its_attention as with_its_attention,
)
from .attention.flex import (
    attend_in_tiles as attend_in_tiles,
)
from .attention.flex import (
    why_not_in_tiles as why_not_in_tiles,
)
from .attention.form import (
    AttentionKind as AttentionKind,
)
from .attention.form import (
    attention_kind as attention_kind,
)
from .base_checks import (
    require_known_tokens as require_known_tokens,
)
from .base_checks import (
    require_plain_base as require_plain_base,
)
from .base_checks import (
    require_usable_packages as require_usable_packages,
)
from .base_identity import (
    base_identity as base_identity,
)
from .base_identity import (
    identity_before_it_was_written as identity_before_it_was_written,
)
from .families import (
    most_tokens as most_tokens,
)
from .families import (
    only_padded as only_padded,
)
from .families import (
    sliding_window as sliding_window,
)
from .families import (
    tokens_before_batches_count as tokens_before_batches_count,
)
from .families import (
    unknown_cost as unknown_cost,
)
from .loading import (
    compute_dtype as compute_dtype,
)
from .loading import (
    load_base as load_base,
)
from .loading import (
    load_tokenizer as load_tokenizer,
)
from .location import (
    CONFIG_FILE as CONFIG_FILE,
)
from .location import (
    WEIGHTS_FILE as WEIGHTS_FILE,
)
from .location import (
    characters_learnt_as_bytes as characters_learnt_as_bytes,
)
from .location import (
    resolve_base as resolve_base,
)
from .lora_targets import (
    require_targets as require_targets,
)
from .precision import (
    Precision as Precision,
)
from .precision import (
    compute_precision as compute_precision,
)
from .precision import (
    is_ampere_or_later as is_ampere_or_later,
)
from .precision import (
    torch_dtype as torch_dtype,
)
from .principal_start import (
    hold_back as hold_back,
)
from .principal_start import (
    principal_factors as principal_factors,
)
from .projection import (
    is_fused_projection as is_fused_projection,
)
