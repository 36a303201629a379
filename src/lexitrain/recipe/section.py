"""What all sections of a recipe share: what a field takes, and how a mark says that it may change on resumption."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)


def no_truth_value(value: Any) -> Any:
    """Taken as a number, `rank: true` would be rank 1."""
    if isinstance(value, bool):
        raise ValueError("true or false is no value for this field")
    return value


def _none_if_empty(value: Any) -> Any:
    """An empty text is the empty field that the docstrings speak of, not a name or a folder without a name."""
    return None if isinstance(value, str) and not value.strip() else value


OptionalText = Annotated[str | None, BeforeValidator(_none_if_empty)]

AutoOrCount = Literal["auto"] | Annotated[int, Field(ge=1)]

#: Marks a field that may differ between the start of a run and its resumption: it changes what is shown or kept,
#: never which weights come out.
FREE: dict[str, Any] = {"free_on_resume": True}


Name = TypeVar("Name", str, int)


def without_repetition(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """The names. Raises ValueError where one stands twice."""
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(f"{twice[0]} is named twice")
    return names


class Section(BaseModel):
    """A group of fields. Unknown keys are refused; objects are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[info.field_name or ""].annotation
        return value if wanted is bool else no_truth_value(value)
