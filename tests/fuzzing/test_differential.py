"""Over generated model classes: what is yielded as valid validates, what is labelled invalid does not."""

import json
from typing import Any

from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocol.fuzzing import ExactJsonSchema, Grammar, Label, frames, messages
from tests.fuzzing.model_classes import message_classes
from tests.profiles import examples

few = examples(
    50,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def refused(adapter: TypeAdapter[Any], data: str | bytes) -> bool:
    if isinstance(data, bytes):
        return True
    try:
        adapter.validate_json(data)
    except ValidationError:
        return True
    return False


def grammar(model: type[BaseModel]) -> Grammar:
    adapter = TypeAdapter(model)
    schema = adapter.json_schema(schema_generator=ExactJsonSchema)
    return Grammar({"m": schema}, lambda data: "refused" if refused(adapter, data) else None)


@few
@given(model=message_classes(), data=st.data())
def test_what_the_schema_alone_yields_validates(model: type[BaseModel], data: st.DataObject) -> None:
    schema = TypeAdapter(model).json_schema(schema_generator=ExactJsonSchema)
    unchecked = messages(Grammar({"m": schema}, lambda frame: None))
    for _ in range(3):
        model.model_validate_json(json.dumps(data.draw(unchecked)))


@few
@given(model=message_classes(), data=st.data())
def test_a_label_is_what_the_model_says(model: type[BaseModel], data: st.DataObject) -> None:
    labelled = frames(grammar(model))
    for _ in range(3):
        frame = data.draw(labelled)
        assert refused(TypeAdapter(model), frame.data) is (frame.label is not Label.VALID)
