"""What other rooms use of this one; `__init__.py` fetches it when it is asked for."""

from .asked_schema import asked_gbnf as asked_gbnf
from .asking import Said as Said
from .asking import ask as ask
from .asking import numbered as numbered
from .continuations import Continuation as Continuation
from .continuations import generate as generate
from .decoding import Decoding as Decoding
from .gbnf import answer_gbnf as answer_gbnf
from .gbnf import chosen_gbnf as chosen_gbnf
from .gbnf import schema_of as schema_of
from .schema_masks import SchemaMasks as SchemaMasks
from .schema_masks import require_llguidance as require_llguidance
