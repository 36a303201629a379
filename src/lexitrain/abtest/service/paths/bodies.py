"""What clients send and get, exactly: unknown fields, texts for numbers and `"true"` for true are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lexitrain.abtest.assignment import Arm
from lexitrain.abtest.service.settings import LONGEST_TEXT


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _agrees(agreed: bool) -> bool:
    if not agreed:
        raise ValueError("is not true")
    return agreed


def _whole(value: object) -> object:
    """4.0 is a whole number in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Stars = Annotated[int, Field(ge=1, le=5), BeforeValidator(_whole)]
Revision = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_whole)]
Text = Annotated[str, AfterValidator(_without_nul)]
# What these patterns refuse, `_without_nul` and the tidying of a learner's text refuse; they describe it.
_NO_NUL = r"^[^\u0000]*$"
_SAYS_SOMETHING = r"^[^\u0000]*[^\s\u0000-\u001f\u007f\u0085\u00ad\u200b\u2060\ufeff][^\u0000]*$"


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Agreement(_Body):
    """The learner agrees to the consent's text of this version."""

    version: Annotated[str, Field(max_length=64)]
    # Not Literal[True], which 1 is equal to.
    agreed: Annotated[bool, AfterValidator(_agrees), Field(json_schema_extra={"const": True})]


class Asked(_Body):
    """A learner's text; with `stream` the answer comes as server-sent events."""

    text: Annotated[
        Text,
        Field(
            min_length=1, max_length=LONGEST_TEXT, json_schema_extra={"pattern": _SAYS_SOMETHING}
        ),
    ]
    stream: bool = False


class Rating(_Body):
    """What a learner says of an answer. A change of mind has a higher `revision` and replaces what was said before."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": kind}}}
                for name, kind in (
                    ("helpful", "boolean"),
                    ("stars", "integer"),
                    ("corrected", "string"),
                )
            ]
        }
    )

    exposure: Annotated[str, Field(max_length=200)]
    helpful: bool | None = None
    stars: Stars | None = None
    corrected: (
        Annotated[
            Text,
            Field(min_length=1, max_length=LONGEST_TEXT, json_schema_extra={"pattern": _NO_NUL}),
        ]
        | None
    ) = None
    revision: Revision = 1

    @model_validator(mode="after")
    def _says_something(self) -> Rating:
        if self.helpful is None and self.stars is None and self.corrected is None:
            raise ValueError("says nothing: give helpful, stars or corrected")
        return self


class Outcome(_Body):
    """Whether the learner's sentence is right in the end; revisions as of a rating."""

    exposure: Annotated[str, Field(max_length=200)]
    fixed: bool
    revision: Revision = 1


class ArmChosen(_Body):
    """The arm that the team stops or resumes."""

    arm: Arm


class Problem(BaseModel):
    """Why a request was refused: a word for programs, and a sentence."""

    code: str
    message: str


class Refusal(BaseModel):
    """An error."""

    error: Problem


class Consent(BaseModel):
    """The text that learners agree to, by language, its version, and whether who asks has agreed to that."""

    version: str
    text: dict[str, str]
    agreed: bool


class Welcome(BaseModel):
    """`learner` is shown with each request, in the cookie or as `Authorization: Bearer`."""

    learner: str
    version: str


class Answered(BaseModel):
    """The model's answer.

    `exposure` is what a rating names. `answer` is null where the model said nothing that the task can read.
    """

    exposure: str
    task: str
    text: str
    answer: dict[str, Any] | None


class Counted(BaseModel):
    """It is on the disk."""

    counted: Literal[True] = True


class Deleted(BaseModel):
    """How many requests of the learner were deleted."""

    exposures: int


class Health(BaseModel):
    """Whether learners can be answered."""

    status: Literal["ok", "unavailable"]
