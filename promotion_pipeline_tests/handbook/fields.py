"""What stands below a field of a model or a member of an enum in its source: its meaning, in the words of the code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from enum import StrEnum

from pydantic import BaseModel


def meanings(owner: type[BaseModel] | type[StrEnum]) -> dict[str, str]:
    """The string below each field or member of `owner`, by its name; fields without one are left out."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for statement in body.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=known)) | ast.Assign(targets=[ast.Name(id=known)]):
                name = known
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(text.split())
                name = ""
            case _:
                name = ""
    return found
