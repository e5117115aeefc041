"""Plans as TOML and back. Every mistake in a file is named with its place, what is allowed and the nearest name."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from segue.errors import UsageError, did_you_mean
from segue.plan import Plan


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """A plan as lists, dictionaries, numbers and texts."""
    return json.loads(json.dumps(asdict(plan)))  # type: ignore[no-any-return]


def plan_from_dict(plain: Mapping[str, Any], *, source: str = "the plan") -> Plan:
    """The inverse of `plan_to_dict`; what is missing takes its default. Raises UsageError naming the entry."""
    _check_names(plain, Plan, where="", source=source)
    _check_finite(plain, where="", source=source)
    try:
        return TypeAdapter(Plan).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise UsageError(f'{source}: "{place}" is missing; add it, perhaps as an empty table [{place}]') from error
        raise UsageError(f"{source}: {place}: {first['msg'].lower()} (it is {first['input']!r})") from error
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def plan_to_toml(plan: Plan) -> str:
    """A plan as TOML, each choice with its reason as a comment where there is one."""
    plain = plan_to_dict(plan)
    reasons = plain.pop("reasons")
    lines = ["# The plan of a training: edit it and give it back with 'segue train --config'."]
    lines += [f"# {name}: {_printable(reason)}" for name, reason in reasons.items()]
    return "\n".join([*lines, "", *_table(plain, ())]) + "\n"


def reasons_in(text: str) -> dict[str, str]:
    """The reasons that `plan_to_toml` wrote as comments: those of the plan it was given, whatever was changed since."""
    known = {field.name for field in fields(Plan)}
    comments = (line.removeprefix("# ").partition(": ") for line in text.splitlines() if line.startswith("# "))
    return {name: reason for name, _, reason in comments if name in known}


def _printable(text: str) -> str:
    """On one line, as a comment has to be: reasons name files, whose names may hold anything."""
    return "".join(character if character.isprintable() else " " for character in text)


def plan_from_toml(text: str, *, source: str) -> Plan:
    """Read a plan. Raises UsageError naming `source`, the place and what is allowed."""
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: this is not valid TOML: {error}") from error
    return plan_from_dict(plain, source=source)


def _table(plain: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    values = {key: value for key, value in plain.items() if not isinstance(value, dict) and value is not None}
    tables = {key: value for key, value in plain.items() if isinstance(value, dict)}
    lines = [f"[{'.'.join(path)}]"] if path and values else []
    lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    lines += [""] if values else []
    for key, value in tables.items():
        lines += _table(value, (*path, key))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # A JSON string, number or truth value is written the same in TOML.
    return json.dumps(value, ensure_ascii=False)


def _check_finite(plain: Any, *, where: str, source: str) -> None:
    """A model file is JSON, which has no infinite numbers."""
    if isinstance(plain, float) and not math.isfinite(plain):
        raise UsageError(f"{source}: {where} = {plain} is not a finite number; give one, however large")
    entries = plain.items() if isinstance(plain, Mapping) else enumerate(plain) if isinstance(plain, list) else ()
    for name, value in entries:
        _check_finite(value, where=f"{where}.{name}" if where else str(name), source=source)


def _check_names(plain: Mapping[str, Any], kind: Any, *, where: str, source: str) -> None:
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    for name, value in plain.items():
        if name not in known:
            raise UsageError(f'{source}: "{where}{name}" is not a setting; {did_you_mean(name, known)}')
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_names(value, hints[name], where=f"{where}{name}.", source=source)
