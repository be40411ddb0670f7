"""Functions: their names, their arguments to JSON and back, their results."""

import uuid
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

from actorq.errors import PayloadError, UnstorableTask
from actorq.function import Function, Misfit, name_of


@dataclass
class Box:
    kind: ClassVar[str] = "box"
    size: int
    _secret: str = "s"  # noqa: S105
    start: InitVar[int | None] = None
    full: bool | None = field(default=None)


@attrs.define
class Crate:
    boxes: list[Box]
    _id: uuid.UUID | None = None


def plain(a, b=2, *rest, c=3, **more):  # type: ignore[no-untyped-def]
    return (a, b, rest, c, more)


def typed(box: Box, at: datetime, *ids: uuid.UUID, data: bytes = b"", **sizes: float) -> Crate:
    return Crate([box])


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1,), {}), ((1, 2), {}), ((1, 2, 3, 4), {}), ((), {"a": 1}), ((1,), {"c": 9, "d": 10})],
    ids=["least", "most", "rest", "by name", "more"],
)
def test_plain_arguments_come_back_as_they_went(args: Any, kwargs: Any):
    function = Function(plain, "plain")
    got_args, got_kwargs = function.decode(function.encode(args, kwargs))
    assert plain(*got_args, **got_kwargs) == plain(*args, **kwargs)


def test_typed_arguments_come_back_with_their_types():
    function = Function(typed, "typed")
    at, one = datetime(2030, 1, 1, tzinfo=UTC), uuid.UUID(int=1)
    args, kwargs = function.decode(function.encode((Box(3, "x"), at, one, one), {"data": b"\xff", "wide": 2}))
    assert (args, kwargs) == ([Box(3, "x"), at, one, one], {"data": b"\xff", "wide": 2.0})
    assert type(kwargs["wide"]) is float


def test_private_fields_of_dataclasses_and_attrs_classes_are_kept():
    function = Function(typed, "typed")
    crate = Crate([Box(1, "secret")], uuid.UUID(int=7))
    assert function.decode_result(function.encode_result(crate)) == crate


def test_null_beside_a_pseudo_field_of_a_dataclass_is_no_nan():
    Function(plain, "plain").encode((Box(1, full=None), None), {})


def test_arguments_that_no_longer_fit_are_a_misfit():
    payload = Function(plain, "plain").encode((1, 2, 3), {})
    with pytest.raises(Misfit, match="too many positional"):
        Function(lambda a: a, "new").decode(payload)


def test_a_stored_value_of_another_type_is_a_misfit_that_names_the_argument():
    payload = Function(plain, "plain").encode(("a",), {})

    def new(a: int) -> None: ...

    with pytest.raises(Misfit, match="argument 'a': TypeError: str, not int"):
        Function(new, "new").decode(payload)


def test_a_stored_result_of_another_type_is_a_misfit():
    with pytest.raises(Misfit, match="does not fit the return type"):
        Function(typed, "typed").decode_result(b'"word"')


def test_an_annotation_that_does_not_resolve_builds_nothing():
    def local(a: "Nowhere") -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821

    function = Function(local, "local")
    assert function.decode(function.encode(({"x": 1},), {})) == ([{"x": 1}], {})


def test_an_argument_that_cannot_be_stored_is_named():
    with pytest.raises(PayloadError, match="argument 'rest' cannot be stored"):
        Function(plain, "plain").encode((1, 2, object()), {})


def test_the_context_is_no_argument():
    def work(ctx: object, a: int) -> None: ...

    function = Function(work, "work", takes_context=True)
    assert function.encode((1,), {}) == b"[[1],{}]"
    with pytest.raises(TypeError, match=r"work\(\): "):
        function.encode((1, 2), {})


@pytest.mark.parametrize(
    ("fn", "is_async"),
    [(plain, False), (partial(plain, 1), False), (len, False), (lambda: 1, False)],
    ids=["def", "partial", "builtin", "lambda"],
)
def test_what_is_not_async_runs_in_a_thread(fn: Any, is_async: bool):
    assert Function(fn, "fn").is_async is is_async


def test_a_name_is_module_and_qualified_name():
    assert name_of(plain) == f"{__name__}.plain"


@pytest.mark.parametrize(
    ("fn", "why"), [(partial(plain, 1), "no name of its own"), (lambda: 1, "is a lambda")], ids=["partial", "lambda"]
)
def test_what_a_restart_would_not_find_has_no_name(fn: Any, why: str):
    with pytest.raises(UnstorableTask, match=why):
        name_of(fn)
