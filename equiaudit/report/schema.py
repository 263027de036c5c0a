"""The JSON Schema of a report, made from the classes that write it; the published copy is under docs/schema/."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from equiaudit.records import SCHEMA_VERSION, Audit
from equiaudit.report.json import Record

ADDRESS = "https://torch-equiaudit.readthedocs.io/schema/equi-report.schema.json"
STATUS = ("measured", "not finite", "no number")
PHASES = ("setup", "call", "teardown", "fixture")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "crashed", "interrupted", "rerun", "unknown")
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}


def schema() -> dict[str, Any]:
    """The schema as a JSON object (draft 2020-12).

    >>> schema()["required"]
    ['schema_version', 'equiaudit_version', 'created', 'environment', 'records']
    """
    definitions: dict[str, Any] = {}
    audit = _object(Audit, definitions)
    origin = {
        "nodeid": _may_be_null({**_TEXT, "description": "of the test; null where the audit came from elsewhere"}),
        "factory": {**_TEXT, "description": "module:name, on the command line"},
        "case": _TEXT,
        "phase": {"enum": list(PHASES), "description": "of the test; fixture: one that several tests share"},
        "outcome": {"enum": list(OUTCOMES), "description": "what became of the test, or of the setup of a fixture"},
        "audits": {**_COUNT, "description": "how many audits this one stands for, the worst of them; absent for one"},
        "tries": {**_COUNT, "description": "how often the test was run, the last of which counts; absent for one"},
        "status": {"enum": list(STATUS), "description": "what error is; null unless measured"},
    }
    record = {
        **audit,
        "description": _sentence(Record),
        "properties": {**origin, **audit["properties"], "passed": {"type": "boolean"}},
        "required": ["nodeid", "status", *audit["required"], "passed"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ADDRESS,
        "title": "equiaudit report",
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "equiaudit_version": _TEXT,
            "created": {**_TEXT, "format": "date-time"},
            "environment": {"type": "object", "description": "what the environments of all audits share"},
            "crashed": {"type": "array", "items": _TEXT, "description": "tests during which a process died"},
            "retried": {
                "type": "array",
                "items": _TEXT,
                "description": "of such tests, those that ended on another try",
            },
            "interrupted": {**_TEXT, "description": "why the run ended early"},
            "records": {"type": "array", "items": {"$ref": "#/$defs/Record"}},
        },
        "required": ["schema_version", "equiaudit_version", "created", "environment", "records"],
        "additionalProperties": False,
        "$defs": {**dict(sorted(definitions.items())), "Record": record},
    }


def to_text() -> str:
    """The file as it is published."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls)]
    return {
        "type": "object",
        "description": _sentence(cls),
        "properties": {name: _shape(hints[name], definitions) for name in fields},
        "required": fields,
        "additionalProperties": False,
    }


def _shape(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (kind,) = (t for t in inner if t is not type(None))
        return _may_be_null(_shape(kind, definitions))
    if origin is tuple:
        return {"type": "array", "items": _shape(inner[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        values = _shape(inner[1], definitions)
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if hint is Any:
        return {}
    if issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if hint is float:
        return _may_be_null({"type": "number"})  # null where it was not finite
    return {"type": {str: "string", bool: "boolean", int: "integer"}[hint]}


def _may_be_null(shape: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape.get("type"), list):
        return shape
    if isinstance(shape.get("type"), str):
        return {**shape, "type": [shape["type"], "null"]}
    return {"anyOf": [shape, {"type": "null"}]}


def _sentence(cls: type) -> str:
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    print(to_text(), end="")
