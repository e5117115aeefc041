"""Settings of the decoding as people write them: name=value."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from segue.errors import UsageError, did_you_mean
from segue.objects.decode import DecodeConfig

WORDS = {int: "give a whole number", float: "give a number", bool: "give true or false"}
"""What may be said of a setting, by its type."""


def with_settings(config: DecodeConfig, settings: Sequence[str]) -> DecodeConfig:
    """`config` with `settings` such as "smallest_dip=0.6" changed; of two for one name the last counts.

    Raises UsageError for a name that does not exist, with the nearest one, and for a value that cannot be.
    """
    changes = dict(_read(setting) for setting in settings)
    return replace(config, **changes) if changes else config


def _read(setting: str) -> tuple[str, Any]:
    known = [field.name for field in fields(DecodeConfig)]
    name, equals, text = (part.strip() for part in setting.partition("="))
    name = name.replace("-", "_")
    if name not in known:
        raise UsageError(f'"{name}" is not a setting of the decoding; {did_you_mean(name, known)}')
    if not equals or not text:
        raise UsageError(
            f'"{setting}" gives {name} no value; write {name}={getattr(DecodeConfig(), name)}, for example'
        )
    kind = get_type_hints(DecodeConfig)[name]
    try:
        return name, TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        allowed = WORDS.get(kind) or error.errors()[0]["msg"].lower()
        raise UsageError(f'"{text}" cannot be the {name} of the decoding; {allowed}') from error
