from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.options import config_error, validated


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = Field(8, ge=1)
    kind: Literal["bit", "count"] = "bit"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner | None = None
    layers: list[Inner] = []

    @model_validator(mode="after")
    def _named(self) -> "Outer":
        if self.name == "nobody":
            raise ValueError("a name must be somebody's")
        return self


@dataclass(frozen=True, config={"extra": "forbid"})
class Plain:
    bits: int
    radius: int = 2


def test_valid_options_become_the_model() -> None:
    options = validated(Outer, {"name": "a", "inner": {"width": 3}}, "data")
    assert options.inner == Inner(width=3)
    assert validated(Plain, {"bits": 3}, "drugs") == Plain(3)
    assert validated(Outer, options, "data") is options


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"nam": "a"},
            r"^data\.name is required\. Set it\. data\.nam is not a known key\. Did you mean 'name'\? Valid: inner, lay",
        ),
        (
            {"name": "a", "inner": {"widht": 3}},
            r"^data\.inner\.widht is not a known key\. Did you mean 'width'\? Valid: kind, width\.$",
        ),
        ({"name": "a", "layers": [{}, {"widht": 3}]}, r"^data\.layers\.1\.widht .*Did you mean 'width'\?"),
        (
            {"name": "a", "inner": {"kind": "bits"}},
            r"^data\.inner\.kind='bits' is not a valid choice\. Did you mean 'bit'\?",
        ),
        (
            {"name": "a", "inner": {"width": 0}},
            r"^data\.inner\.width=0 is not valid: input should be greater than or equal to 1\.$",
        ),
        ({"name": "nobody"}, r"^data: a name must be somebody's$"),
    ],
)
def test_a_wrong_option_is_named_with_the_nearest_valid_choice(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(Outer, data, "data")


def test_dataclass_options_are_explained_alike() -> None:
    with pytest.raises(
        ConfigError, match=r"^drug_features\.bits is required.*drug_features\.radios .*Did you mean 'radius'\?"
    ):
        validated(Plain, {"radios": 1}, "drug_features")


def test_an_error_of_the_constructor_itself_can_be_explained() -> None:
    with pytest.raises(ValidationError) as caught:
        Plain(bits="x")  # type: ignore[arg-type]
    assert str(config_error(caught.value, Plain, "")).startswith("bits='x' is not valid: input should be a valid integer")


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"\(2 more\.\)$"):
        validated(Plain, {"bits": 1, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, "x")
