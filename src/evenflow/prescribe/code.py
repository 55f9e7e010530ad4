"""Code of a remedy in the user's own files: where its lines go.

Only what is certain is pointed at: a function that makes model, batches and loss and returns them by their names. All
else is left to the snippet, which a user can paste anywhere.
"""

from __future__ import annotations

import ast
import inspect
import io
import itertools
import textwrap
import tokenize
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenflow.prescribe.prescription import Code, Edit

_NAMES = ("model", "batches", "loss_fn", "optimizer")
_ELSEWHERE = ("scheduler", "clip_norm")
"""What such a function does not return, so that a line about it in there would change nothing."""


def edits_of(code: Code, function: Callable[..., Any] | None) -> tuple[Edit, ...]:
    """All edits that make a change in the user's files; nothing unless every part of it can be pointed at.

    Args:
        code: of a prescription.
        function: that makes the training; None where it is not known.
    """
    if code.parts:
        found = [edits_of(part, function) for part in code.parts]
        return tuple(dict.fromkeys(itertools.chain(*found))) if all(found) else ()
    return code.edits or (() if function is None else edits_in(code, function))


def edits_in(code: Code, function: Callable[..., Any]) -> tuple[Edit, ...]:
    """The edits that put a snippet into the function that makes a training.

    Imports go behind those of the file, classes and functions in front of this one, and the lines themselves to where
    the model is ready and the optimiser is not there yet; lines that leave every parameter the one it was, and use
    batches or a loss that are made later, go behind these.

    Args:
        code: of a prescription.
        function: that returns (model, batches, loss_fn[, optimizer]), each by its name.

    Returns:
        Nothing where the function's source is not to be had, or where it is not certain what is what.
    """
    found = _source_of(function)
    if found is None:
        return ()
    file, tree, body = found
    names = _returned(body)
    definitions, lines = _parted(code.snippet)
    used = {node.id for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Name)}
    if "model" not in names or not used & set(_NAMES) <= names.keys() or used & set(_ELSEWHERE):
        return ()
    if not _stores(body, names["model"]):
        return ()
    before = _statement(body, names, "optimizer" in used)
    if before is None:
        return ()
    late = [
        statement
        for statement in body.body
        if statement.lineno >= before.lineno
        and any(_stores(statement, names[word]) for word in used & {"batches", "loss_fn"})
    ]
    if late and not code.in_place:
        return ()
    if late:
        before = body.body[body.body.index(late[-1]) + 1]  # the return at the latest
    stored = {
        node.id for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Name) and _is_store(node)
    }
    if (stored - set(_NAMES)) & _read_behind(body, before.lineno):
        return ()  # a variable of the user's would be another
    indent = " " * body.body[-1].col_offset
    added = textwrap.indent(renamed(lines, names), indent).splitlines()
    edits = [Edit(file, before.lineno, (), tuple(line.rstrip() for line in added))]
    if definitions:
        first = min([body.lineno, *(one.lineno for one in body.decorator_list)])
        edits.insert(0, Edit(file, first, (), (*definitions.splitlines(), "", "")))
    missing = _missing(code.imports, tree)
    if missing:
        edits.insert(0, Edit(file, _behind_imports(tree), (), tuple(missing)))
    return tuple(edits)


def in_their_names(snippet: str, function: Callable[..., Any] | None) -> str:
    """A snippet on the variables that a function returns its training by; as it is where these are not known.

    Args:
        snippet: of a prescription; what classes and functions in it do with their own variables stays.
        function: that returns (model, batches, loss_fn[, optimizer]).
    """
    found = None if function is None else _source_of(function)
    names = {} if found is None else _returned(found[2])
    if not names:
        return snippet
    rows, parts, begin = snippet.splitlines(), [], 0
    nodes = ast.parse(snippet).body
    for place, node in enumerate(nodes):
        end = nodes[place + 1].lineno - 1 if place + 1 < len(nodes) else len(rows)
        text = "\n".join(rows[begin:end])
        parts.append(text if isinstance(node, ast.ClassDef | ast.FunctionDef) else renamed(text, names))
        begin = end
    return "\n".join(parts) + "\n"


def renamed(lines: str, names: Mapping[str, str]) -> str:
    """Lines of code with other variables.

    >>> renamed("model = wrap(model, model=model.model)", {"model": "net"})
    'net = wrap(net, model=net.model)'
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(lines).readline))
    keywords = {
        (node.value.lineno, node.value.col_offset, node.arg)
        for node in ast.walk(ast.parse(lines))
        if isinstance(node, ast.keyword)
    }
    rows = lines.splitlines(keepends=True)
    for place in reversed(range(len(tokens))):
        one = tokens[place]
        if one.type != tokenize.NAME or names.get(one.string, one.string) == one.string:
            continue
        if place and tokens[place - 1].string == ".":
            continue
        (row, start), (_, end) = one.start, one.end
        if (
            place + 1 < len(tokens)
            and tokens[place + 1].string == "="
            and any(
                keyword[0] == row and keyword[1] == end + 1 and keyword[2] == one.string
                for keyword in keywords
            )
        ):
            continue
        rows[row - 1] = rows[row - 1][:start] + names[one.string] + rows[row - 1][end:]
    return "".join(rows)


def _returned(body: ast.FunctionDef) -> dict[str, str]:
    """The variables that a function with one return gives, by our names; empty where it is not certain what is what."""
    returned = [node for node in ast.walk(body) if isinstance(node, ast.Return)]
    if len(returned) != 1 or returned[0] is not body.body[-1] or not isinstance(returned[0].value, ast.Tuple):
        return {}
    pairs = zip(_NAMES, returned[0].value.elts, strict=False)
    return {ours: theirs.id for ours, theirs in pairs if isinstance(theirs, ast.Name)}


def _source_of(function: Callable[..., Any]) -> tuple[Path, ast.Module, ast.FunctionDef] | None:
    function = inspect.unwrap(function)
    try:
        file = Path(inspect.getsourcefile(function) or "")
        line = inspect.getsourcelines(function)[1]
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == getattr(function, "__name__", ""):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if line in (first, node.lineno) and node in tree.body:
                return file, tree, node
    return None


def _statement(body: ast.FunctionDef, names: Mapping[str, str], behind: bool) -> ast.stmt | None:
    """In front of which statement lines go: the one that makes the optimiser, or the return.

    Args:
        body: of the function.
        names: of its variables by ours.
        behind: whether the lines need the optimiser.
    """
    last = body.body[-1]
    optimiser = names.get("optimizer")
    if behind:
        return last
    if optimiser is None:
        return last if _is_free(body, names["model"]) else None
    makers = [one for one in body.body if _stores(one, optimiser)]
    made = [one for one in body.body if _stores(one, names["model"])]
    if not makers or not made or made[-1].lineno > makers[0].lineno:
        return None
    return makers[0]


def _stores(tree: ast.stmt, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name and _is_store(each) for each in ast.walk(tree))


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _read_behind(body: ast.FunctionDef, line: int) -> set[str]:
    return {
        node.id
        for statement in body.body
        if statement.lineno >= line
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and not _is_store(node)
    }


def _is_free(body: ast.FunctionDef, model: str) -> bool:
    """Whether no optimiser of the model's parameters is made before the return."""
    reads = [
        node
        for statement in body.body[:-1]
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and node.attr in ("parameters", "named_parameters")
        and isinstance(node.value, ast.Name) and node.value.id == model
    ]  # fmt: skip
    inside = [
        node
        for statement in body.body[:-1]
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Lambda | ast.For | ast.comprehension)
        for node in ast.walk(inner)
    ]
    return all(node in inside for node in reads)


def _parted(snippet: str) -> tuple[str, str]:
    """Classes and functions of a snippet, and its other lines."""
    tree = ast.parse(snippet)
    rows = snippet.splitlines()
    definitions: list[str] = []
    lines: list[str] = []
    for place, node in enumerate(tree.body):
        end = tree.body[place + 1].lineno - 1 if place + 1 < len(tree.body) else len(rows)
        text = "\n".join(rows[node.lineno - 1 : end]).rstrip()
        (definitions if isinstance(node, ast.ClassDef | ast.FunctionDef) else lines).append(text)
    return "\n\n\n".join(definitions), "\n".join(lines)


def _missing(imports: Sequence[str], tree: ast.Module) -> list[str]:
    """Imports that a file does not have, by the names that they bind."""
    bound = {
        alias.asname or alias.name.partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    missing = []
    for line in imports:
        (node,) = ast.parse(line).body
        assert isinstance(node, ast.Import | ast.ImportFrom)
        node.names = [one for one in node.names if (one.asname or one.name.partition(".")[0]) not in bound]
        if node.names:
            missing.append(ast.unparse(node))
    return missing


def _behind_imports(tree: ast.Module) -> int:
    """The line behind the last import at the head of a file, or behind its docstring."""
    last = 0
    for place, node in enumerate(tree.body):
        docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (docstring or isinstance(node, ast.Import | ast.ImportFrom)):
            break
        last = node.end_lineno or node.lineno
    return last + 1
