"""Judging the ``$`` expressions of a configuration by their syntax trees, without evaluating anything.

What decides is what is allowed: kinds of nodes, names, attributes, and how the few functions are called that read a
file. MONAI puts references into the *text* of an expression before it evaluates it; so does this module before it
parses, since ``$'@f{...}'`` is a harmless string before and an f-string after.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pipelines.trust import allowed_names
from pipelines.trust.finding import shown

# A network written as one expression has thousands of characters; what makes trees deep is refused by their depth.
LONGEST, DEEPEST, DEEPEST_TREE, LARGEST_POWER = 20_000, 40, 100, 64
REFERENCES = "__local_refs"
WEIGHT_SUFFIXES = (".pt", ".pth", ".ts")
_REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
# Nodes that do nothing but hold others.
_PLAIN = (
    *(ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Slice),
    *(ast.Starred, ast.keyword, ast.boolop, ast.unaryop, ast.cmpop, ast.Load),
)


class Refused(Exception):  # noqa: N818  a verdict, caught by `judge`
    """Raised at the first part of an expression that is not allowed; its text is the reason."""


def judge(
    text: str,
    names: Mapping[str, str] = allowed_names.GLOBALS,
    attributes: Collection[str] = allowed_names.ATTRIBUTES,
    look_up: Callable[[str], Any] = lambda _: None,
) -> str | None:
    """Judge one expression.

    Args:
        text: of the configuration, with its ``$``.
        names: what the names of modules and imported functions mean, as dotted paths.
        attributes: what may be asked of objects that are no modules.
        look_up: gives what a configuration holds under an id, None when there is nothing.

    Returns:
        Why it is refused; None when it is allowed.
    """
    try:
        statement = parsed(text)
        if not isinstance(statement, ast.Expr):
            raise Refused("is an import statement, which may stand in `imports` alone")
        _Judge(names, attributes, look_up).visit(statement.value, frozenset())
    except Refused as refused:
        return str(refused)
    return None


def imported(text: str) -> tuple[str, str] | None:
    """Give the name and the dotted path that an import statement binds; None for any other expression.

    Raises:
        Refused: when it imports more than one thing, or one that is not allowed.
    """
    statement = parsed(text)
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return None
    if len(statement.names) != 1:
        raise Refused("imports several things at once")
    alias = statement.names[0]
    path = alias.name
    if isinstance(statement, ast.ImportFrom):
        if statement.level or statement.module is None:
            raise Refused("imports relatively")
        path = f"{statement.module}.{alias.name}"
        if statement.module not in allowed_names.MODULES:
            raise Refused(f"imports {shown(statement.module)}, which is not allowed")
    allowed = (
        path in allowed_names.MODULES
        or isinstance(statement, ast.ImportFrom)
        and (allowed_names.is_free(path) or path in allowed_names.CHECKED)
    )
    if not allowed:
        raise Refused(f"imports {shown(path)}, which is not allowed")
    name = alias.asname or alias.name
    if hasattr(builtins, name) or name.startswith("__") or allowed_names.GLOBALS.get(name, path) != path:
        raise Refused(f"gives {shown(path)} the name of something else, {shown(name)}")
    return name, path


def parsed(text: str) -> ast.stmt:
    """Parse an expression as MONAI will see it, with references in their places.

    Raises:
        Refused: when it is no one statement, or so long or deep that parsing it is a risk.
    """
    source = with_references(text).lstrip(" \t")
    if len(source) > LONGEST:
        raise Refused(f"is longer than {LONGEST} characters")
    if not source.isprintable():
        raise Refused("holds characters that do not show")
    if _depth(source) > DEEPEST:
        raise Refused("is nested too deeply")
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as fault:
        raise Refused("is no Python expression") from fault
    if len(body) != 1:
        raise Refused("is more than one statement, or none")
    if _depth_of_tree(body[0]) > DEEPEST_TREE:
        raise Refused("is nested too deeply")
    return body[0]


def with_references(text: str) -> str:
    """Do to an expression what MONAI's ``ReferenceResolver.update_refs_pattern`` does before evaluation.

    Raises:
        Refused: for references relative to the place of the expression, whose text the keys around it would become.
    """
    value = text.replace("#", "::")
    if re.search(r"[@%]::", value):
        raise Refused("refers to an id by its relative place")
    for reference in sorted(_REFERENCE.findall(value), key=len, reverse=True):
        value = value.replace(reference, f"{REFERENCES}['{reference[1:]}']")
    return value[1:]


def _depth(source: str) -> int:
    """Count the brackets open at once, and the longest row of operators without anything between."""
    depth = deepest = 0
    for character in source:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    rows = re.findall(r"(?:(?:[-+~]|\bnot\b|\blambda\b\s*:)\s*)+", source)
    longest = max((len(re.findall(r"[-+~]|not|lambda", row)) for row in rows), default=0)
    return max(deepest, longest)


def _depth_of_tree(node: ast.AST) -> int:
    """Count the levels of a syntax tree, without recursion."""
    level, depth = [node], 0
    while level:
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        depth += 1
    return depth


class _Judge:
    def __init__(self, names: Mapping[str, str], attributes: Collection[str], look_up: Callable[[str], Any]) -> None:
        self.names, self.attributes, self.look_up = names, attributes, look_up
        self.kinds: tuple[tuple[Any, Callable[[Any, frozenset[str]], None]], ...] = (
            (ast.Constant, self._constant),
            ((ast.Name, ast.Attribute), self._name),
            (ast.Call, self._call),
            (ast.Subscript, self._subscript),
            (ast.BinOp, self._operation),
            (ast.Lambda, self._lambda),
            (_COMPREHENSIONS, self._comprehension),
            (_PLAIN, self._all_in),
        )

    def visit(self, node: ast.AST, scope: frozenset[str]) -> None:
        """Look at a node; ``scope`` has the names of lambdas and comprehensions around it."""
        for kinds, look_at in self.kinds:
            if isinstance(node, kinds):
                look_at(node, scope)
                return
        raise Refused(f"holds {type(node).__name__}, which is not allowed")

    def _all_in(self, node: ast.AST, scope: frozenset[str]) -> None:
        for child in ast.iter_child_nodes(node):
            self.visit(child, scope)

    def _subscript(self, node: ast.Subscript, scope: frozenset[str]) -> None:
        if reference_of(node) is None:
            self._all_in(node, scope)

    def _constant(self, node: ast.Constant, _: frozenset[str]) -> None:
        if not isinstance(node.value, str | bool | int | float | None | type(...)):
            raise Refused(f"holds a constant of type {type(node.value).__name__}, which is not allowed")

    def _name(self, node: ast.Name | ast.Attribute, scope: frozenset[str]) -> None:
        dotted = self._dotted(node, scope)
        if dotted is None:
            if isinstance(node, ast.Attribute):
                self._attribute(node.attr)
                self.visit(node.value, scope)
            elif node.id not in scope and node.id not in allowed_names.BUILTINS:
                raise Refused(f"uses the name {shown(node.id)}, which is not allowed")
            return
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            if allowed_names.is_free(".".join(parts[:end])):
                for rest in parts[end:]:
                    self._attribute(rest)
                return
        raise Refused(f"uses {shown(dotted)}, which is not allowed")

    def _attribute(self, name: str) -> None:
        if name not in self.attributes:
            raise Refused(f"asks for the attribute {shown(name)}, which is not allowed")

    def _dotted(self, node: ast.AST, scope: frozenset[str]) -> str | None:
        """Give the dotted path of what is named by way of a module; None for what is not."""
        if isinstance(node, ast.Name):
            return None if node.id in scope else self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            above = self._dotted(node.value, scope)
            return None if above is None else f"{above}.{node.attr}"
        return None

    def _call(self, node: ast.Call, scope: frozenset[str]) -> None:
        dotted = self._dotted(node.func, scope)
        if dotted in ("torch.jit.load", "torch.load"):
            self._check_load(node, dotted)
        elif self._switches_cudnn(node, scope):
            return
        else:
            self.visit(node.func, scope)
        for argument in (*node.args, *node.keywords):
            self.visit(argument, scope)

    def _check_load(self, node: ast.Call, dotted: str) -> None:
        """Allow the bundle's own weights alone, and pickles of tensors alone."""
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if not set(options) <= {"f", "map_location", "weights_only"} or len(node.args) > 2:
            raise Refused(f"calls {dotted} with arguments that are not allowed")
        files = [*node.args[:1], *(value for name, value in options.items() if name == "f")]
        if len(files) != 1 or not names_weights(files[0], self.look_up):
            raise Refused(f"calls {dotted} on what is not plainly a file of weights in the bundle")
        only = options.get("weights_only")
        if dotted == "torch.load" and not (isinstance(only, ast.Constant) and only.value is True):
            raise Refused("calls torch.load without weights_only=True")

    def _switches_cudnn(self, node: ast.Call, scope: frozenset[str]) -> bool:
        """Tell whether the call is the one use of ``setattr`` that is allowed: of cuDNN's switches."""
        return (
            isinstance(node.func, ast.Name)
            and node.func.id == "setattr"
            and "setattr" not in scope
            and not node.keywords
            and len(node.args) == 3
            and self._dotted(node.args[0], scope) == "torch.backends.cudnn"
            and isinstance(node.args[1], ast.Constant)
            and node.args[1].value in ("benchmark", "deterministic", "enabled")
            and isinstance(node.args[2], ast.Constant)
        )

    def _operation(self, node: ast.BinOp, scope: frozenset[str]) -> None:
        if not isinstance(node.op, _OPERATORS):
            raise Refused(f"uses the operator {type(node.op).__name__}, which is not allowed")
        if isinstance(node.op, ast.Pow):
            power = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
            value = power.value if isinstance(power, ast.Constant) else None
            if not isinstance(value, int | float) or abs(value) > LARGEST_POWER:
                raise Refused(f"takes a power beyond {LARGEST_POWER}, or one that is not written down")
        self.visit(node.left, scope)
        self.visit(node.right, scope)

    def _lambda(self, node: ast.Lambda, scope: frozenset[str]) -> None:
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        for default in (*arguments.defaults, *(value for value in arguments.kw_defaults if value is not None)):
            self.visit(default, scope)
        self.visit(node.body, scope | {self._own(argument.arg) for argument in named})

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: frozenset[str]
    ) -> None:
        inner = scope | {name for generator in node.generators for name in self._targets(generator.target)}
        for number, generator in enumerate(node.generators):
            if generator.is_async:
                raise Refused("is asynchronous")
            # Python evaluates the first iterable outside of the comprehension, where its variables are not.
            self.visit(generator.iter, inner if number else scope)
            for condition in generator.ifs:
                self.visit(condition, inner)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part, inner)

    def _targets(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Name):
            return [self._own(node.id)]
        if isinstance(node, ast.Tuple | ast.List):
            return [name for element in node.elts for name in self._targets(element)]
        raise Refused("assigns to more than a name")

    @staticmethod
    def _own(name: str) -> str:
        if name.startswith("__"):
            raise Refused(f"gives a variable the name {shown(name)}")
        return name


def reference_of(node: ast.AST) -> str | None:
    """Give the id that a node refers to; None when it is no reference."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == REFERENCES
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and node.slice.value
    ):
        return node.slice.value
    return None


def names_weights(node: ast.AST | str, look_up: Callable[[str], Any]) -> bool:
    """Tell whether a node, or a configuration's string, is plainly the path of a file of weights in the bundle.

    It is when it begins with ``@bundle_root`` and goes on with constants that do not lead out again.
    """
    parts = _parts_below_root(node, look_up, 0)
    return parts is not None and len(parts) > 0 and parts[-1].endswith(WEIGHT_SUFFIXES)


def _parts_below_root(node: ast.AST | str, look_up: Callable[[str], Any], hops: int) -> list[str] | None:
    """Give the parts of a path below the bundle's root; None when it is not plainly one."""
    if isinstance(node, str):
        return _parts_of_text(node, look_up, hops)
    reference = reference_of(node)
    if reference is not None:
        return [] if reference == "bundle_root" else _parts_of_text(look_up(reference), look_up, hops + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined(_parts_below_root(node.left, look_up, hops), [node.right], after="/")
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.path.join" and node.args and not node.keywords:
        return _joined(_parts_below_root(node.args[0], look_up, hops), node.args[1:], after="")
    return None


def _parts_of_text(text: Any, look_up: Callable[[str], Any], hops: int) -> list[str] | None:
    if not isinstance(text, str) or hops > DEEPEST:
        return None
    if re.fullmatch(r"@\w+(::\w+)*", text):
        text = f"${text}"
    if not text.startswith("$"):
        return None
    try:
        statement = parsed(text)
    except Refused:
        return None
    return _parts_below_root(statement.value, look_up, hops) if isinstance(statement, ast.Expr) else None


def _joined(above: list[str] | None, nodes: list[ast.expr], after: str) -> list[str] | None:
    """Add constants, each of which must begin with ``after``, to the parts of a path."""
    if above is None:
        return None
    parts = list(above)
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or not text.startswith(after):
            return None
        added = text[len(after) :].split("/")
        if any(not re.fullmatch(r"[\w-][\w. -]*", part) for part in added):
            return None
        parts += added
    return parts
