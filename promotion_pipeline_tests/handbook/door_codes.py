"""Every code that an error can have: those of the product's errors, wherever defined, and those of the HTTP door."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import promotion_pipeline
from promotion_pipeline.errors import PromotionError

DOOR_CODES = {
    "body-too-large": (413, "The body has more than 64 KB."),
    "internal-error": (500, "Something unexpected; the log has more under the answer's `requestId`."),
    "unsupported-media-type": (415, "The body is compressed: send it as it is."),
    "malformed-request": (400, "The request cannot be read: two credentials, or a body that is no form."),
    "method-not-allowed": (405, "The address does not take this method; `Allow` names those that it takes."),
    "request-in-progress": (409, "Another request with this Idempotency-Key is still at work."),
    "unauthenticated": (401, "No credential, or one that is unknown, expired or revoked."),
}
_PACKAGE = Path(promotion_pipeline.__file__).parent


def product_errors() -> set[type[PromotionError]]:
    """`PromotionError` and all its heirs that have a code of their own."""
    for file in _PACKAGE.rglob("*.py"):
        if '    code = "' in file.read_text(encoding="utf-8"):
            importlib.import_module(".".join(file.relative_to(_PACKAGE.parent).with_suffix("").parts))
    heirs = _heirs(PromotionError)
    return {kind for kind in heirs if "code" in vars(kind) and kind.__module__.startswith(f"{_PACKAGE.name}.")}


def codes_in_the_source() -> set[str]:
    """The constants that routes and middleware give `Problem(status, code, ...)`, and those by HTTP status."""
    return {code for file in (_PACKAGE / "api").rglob("*.py") for code in _codes(ast.parse(file.read_text("utf-8")))}


def _heirs(kind: type[PromotionError]) -> Iterator[type[PromotionError]]:
    yield kind
    for heir in kind.__subclasses__():
        yield from _heirs(heir)


def _codes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Problem"), args=[_, ast.Constant(value=str(code)), *_]):
                yield code
            case ast.Assign(targets=[ast.Name(id="_CODES")], value=ast.Dict(values=values)):
                yield from (str(value.value) for value in values if isinstance(value, ast.Constant))
