"""A user's function, and the way of its arguments and results into JSON and back.

What goes in is what ``orjson`` writes natively (also dataclasses, datetimes, UUIDs, enums), attrs classes, and
bytes as base64. What comes out is built from the function's annotations by ``cattrs``; a parameter without
annotation gets plain JSON. The function is handed the round-tripped arguments on its first run as well,
so it behaves the same before and after a crash.

Two traps of JSON are closed here: NaN and infinity, which orjson writes as ``null`` without a word, and the
buffer of a fresh ``orjson.dumps``, which is thirty times as large as a small document (it is copied).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import inspect
import math
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import attrs
import orjson
from cattrs.preconf.orjson import OrjsonConverter, make_converter

from actorq.config import NAME_LIMIT, PAYLOAD_LIMIT, RESULT_LIMIT
from actorq.errors import PayloadError, UnstorableTask

__all__ = ["Function", "Misfit", "name_of", "plain"]


class Misfit(Exception):
    """Stored arguments do not fit the function as it is now, or a stored result its return type."""


_SIZED: Final = frozenset((str, bytes, bytearray, list, tuple, dict))


class Function:
    """One registered function, under the name by which stored jobs find it."""

    def __init__(self, fn: Callable[..., Any], name: str, *, takes_context: bool = False) -> None:
        self.fn = fn
        self.name = name
        self.takes_context = takes_context
        self.is_async = _is_async(fn)
        """Whether it runs on an event loop, wherever that is."""
        self._signature = _signature_of(fn, name, takes_context=takes_context)
        self._plain_positionals = _plain_positionals(self._signature)
        self._types, self._return_type = _types_of(fn, self._signature)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Return the arguments as JSON.

        Raises:
            TypeError: they do not fit the signature, as in a plain call.
            PayloadError: one of them cannot be stored; it is named.
        """
        self.check(args, kwargs)
        for value in (*args, *kwargs.values()):  # to encode a hundred megabytes would hold up the event loop
            size = len(cast("Sequence[Any]", value)) if type(value) in _SIZED else 0
            if size > PAYLOAD_LIMIT:
                raise self._too_large(f"{size} characters or elements")
        try:
            payload = _dump([args, kwargs])
        except (TypeError, ValueError) as error:
            raise self._blame(args, kwargs, str(error)) from error
        if len(payload) > PAYLOAD_LIMIT:
            raise self._too_large(f"{len(payload)} bytes of JSON")
        return payload

    def decode(self, payload: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments again, as the annotations want them.

        Raises:
            Misfit: they do not fit the function.
        """
        args, kwargs = orjson.loads(payload)
        if not self._types and not kwargs and self._plain_positionals[0] <= len(args) <= self._plain_positionals[1]:
            return args, kwargs
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise Misfit(str(error)) from error
        for name, value in bound.arguments.items():
            build = self._types.get(name)
            if build is not None:
                bound.arguments[name] = self._build(build, self._signature.parameters[name].kind, name, value)
        return list(bound.args), dict(bound.kwargs)

    def encode_result(self, value: Any) -> bytes:
        """Return the result as JSON.

        Raises:
            PayloadError: it cannot be stored.
        """
        try:
            result = _dump(value)
        except (TypeError, ValueError) as error:
            raise PayloadError(self.name, "the result", str(error)) from error
        if len(result) > RESULT_LIMIT:
            raise PayloadError(self.name, "the result", f"{len(result)} bytes of JSON, the limit is {RESULT_LIMIT}")
        try:
            self.decode_result(result)  # whoever waits must get it: better the job fails than he
        except Misfit as misfit:
            raise PayloadError(self.name, "the result", str(misfit)) from misfit
        return result

    def decode_result(self, result: bytes) -> Any:
        """Return the result again, as the return annotation wants it.

        Raises:
            Misfit: it does not fit.
        """
        value = orjson.loads(result)
        if self._return_type is None:
            return value
        try:
            return self._return_type(value)
        except Exception as error:
            raise Misfit(f"the stored result does not fit the return type: {_why(error)}") from error

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError, as a plain call would, if the arguments do not fit the signature."""
        if not kwargs and self._plain_positionals[0] <= len(args) <= self._plain_positionals[1]:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None

    def _build(self, build: Callable[[Any], Any], kind: Any, name: str, value: Any) -> Any:
        try:
            if kind is inspect.Parameter.VAR_POSITIONAL:
                return tuple(build(each) for each in value)
            if kind is inspect.Parameter.VAR_KEYWORD:
                return {key: build(each) for key, each in value.items()}
            return build(value)
        except Exception as error:
            raise Misfit(f"argument {name!r}: {_why(error)}") from error

    def _too_large(self, size: str) -> PayloadError:
        return PayloadError(self.name, "the arguments", f"{size}, the limit is {PAYLOAD_LIMIT}")

    def _blame(self, args: Sequence[Any], kwargs: Mapping[str, Any], why: str) -> PayloadError:
        """Find the argument that cannot be stored."""
        for name, value in self._signature.bind(*args, **kwargs).arguments.items():
            try:
                _dump(value)
            except (TypeError, ValueError) as error:
                return PayloadError(self.name, f"argument {name!r}", str(error))
        return PayloadError(self.name, "the arguments", why)


def plain(result: bytes) -> Any:
    """Return a result whose function is not here as plain JSON."""
    return orjson.loads(result)


def name_of(fn: Callable[..., Any]) -> str:
    """Return the name under which stored jobs will look for the function.

    Raises:
        UnstorableTask: it has none that would be the same after a restart.
    """
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise UnstorableTask(repr(fn), "has no name of its own: give one with name=")
    if "<lambda>" in name:
        raise UnstorableTask(f"{module}.{name}", "is a lambda: give it a name with name=, or a def")
    if "<locals>" in name:
        raise UnstorableTask(
            f"{module}.{name}", "is local to a function: give it a name that a restart will find, with name="
        )
    return check_name(f"{module}.{name}")


def check_name(name: str) -> str:
    """Return the name of a task if it can be one; otherwise raise UnstorableTask."""
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise UnstorableTask(repr(name[:50]), f"a name has 1 to {NAME_LIMIT} printable characters")
    return name


# -- JSON ------------------------------------------------------------------------------------------


def _dump(value: Any) -> bytes:
    document = orjson.dumps(value, default=_to_json, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    if b"null" in document:
        _refuse_nan(value)
    return bytes(memoryview(document))


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if attrs.has(kind := _kind(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    if dataclasses.is_dataclass(kind):  # orjson itself drops fields that begin with an underscore
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    raise TypeError(f"{type(value).__name__} is not JSON")


def _kind(value: object) -> type[Any]:
    return type(value)


def _refuse_nan(value: Any) -> None:
    """Raise ValueError if a NaN or an infinity stands anywhere in the value: orjson wrote null for it."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{value} has no place in JSON")
        elif isinstance(value, Mapping):
            todo.extend(cast("Mapping[str, Any]", value).values())
        elif isinstance(value, list | tuple):
            todo.extend(cast("Sequence[Any]", value))
        elif attrs.has(kind := _kind(value)):
            todo.extend(getattr(value, field.name) for field in attrs.fields(kind))
        elif dataclasses.is_dataclass(kind):
            todo.extend(getattr(value, field.name) for field in dataclasses.fields(kind))


def _make_converter() -> OrjsonConverter:
    converter = make_converter()
    converter.register_structure_hook(bytes, _to_bytes)
    converter.register_structure_hook(uuid.UUID, lambda value, kind: kind(value))
    for scalar in (str, int, float, bool):
        converter.register_structure_hook(scalar, _to_scalar)
    return converter


def _to_bytes(value: Any, kind: Any) -> bytes:
    del kind
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise TypeError("not bytes in base64") from None


def _to_scalar(value: Any, kind: type) -> Any:
    """Take the value as it is: a conversion would hide that the code has changed."""
    if kind is float and isinstance(value, int):
        return float(value)
    if kind not in (str, int, float, bool):  # cattrs asks us for an IntEnum, too
        return kind(value)
    if not isinstance(value, kind):  # True passes for an int, as in a plain call
        raise TypeError(f"{type(value).__name__}, not {kind.__name__}")
    return value


_CONVERTER: Final = _make_converter()


# -- signatures ------------------------------------------------------------------------------------


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(_call_of(fn))


def _call_of(fn: Callable[..., Any]) -> Any:
    """Return the method behind a callable object."""
    return getattr(type(fn), "__call__")  # noqa: B004, B009 - the method itself is wanted


def _signature_of(fn: Callable[..., Any], name: str, *, takes_context: bool) -> inspect.Signature:
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise UnstorableTask(name, "is a generator: a task returns one result")
    try:
        signature = inspect.signature(fn)
    except ValueError:  # a builtin that does not tell takes whatever it is given
        return inspect.signature(_anything)
    except TypeError as error:
        raise UnstorableTask(name, f"cannot be called as a task: {error}") from None
    if not takes_context:
        return signature
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise UnstorableTask(name, "context=True wants a first parameter for the JobContext")
    return signature.replace(parameters=parameters[1:])


def _anything(*args: Any, **kwargs: Any) -> None:
    """Take whatever it is given."""


def _plain_positionals(signature: inspect.Signature) -> tuple[int, int]:
    """Return how many positional arguments, and nothing else, fit for certain: from, to."""
    least = most = 0
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return (1, 0)
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
    return (least, most)


Builder = Callable[[Any], Any]


def _types_of(fn: Callable[..., Any], signature: inspect.Signature) -> tuple[dict[str, Builder], Builder | None]:
    """Return what builds each annotated parameter, and the result, from JSON."""
    target = fn if inspect.isroutine(fn) or inspect.isclass(fn) else getattr(fn, "func", _call_of(fn))
    try:
        hints = typing.get_type_hints(target)
    except Exception:  # noqa: BLE001 - an annotation that does not resolve here builds nothing
        hints = {
            name: hint for name, hint in getattr(target, "__annotations__", {}).items() if not isinstance(hint, str)
        }
    builders = {name: _builder(hints[name]) for name in signature.parameters if name in hints}
    result = _builder(hints["return"]) if "return" in hints else None
    return {name: build for name, build in builders.items() if build is not None}, result


def _builder(kind: Any) -> Builder | None:
    """Return what builds this type from JSON; None where plain JSON will do."""
    if kind in (Any, object, None, type(None)) or isinstance(kind, typing.TypeVar):
        return None
    try:
        hook = _CONVERTER.get_structure_hook(kind)
    except Exception:  # noqa: BLE001 - cattrs does not know the type: it gets plain JSON
        return None
    return lambda value: hook(value, kind)


def _why(error: Exception) -> str:
    """Say in a line what cattrs says in a group."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
