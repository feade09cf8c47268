"""The small changes that a mutation run makes to a module: one for each mutant.

- A comparison: `<` becomes `<=` and `>=`, `is` becomes `is not`, `in` becomes `not in`, and so on.
- A condition: it is always true, or always false.
- An operand of `and` and `or` is left out. A `not` is left out.
- `True` and `False` change places. A whole number from -1 to 9 is one more; 1 is also 0.
- `+` and `-`, `min` and `max`, `any` and `all` change places.
- A statement is left out: a call, an `await`, `raise`, a bare `return`, `break`, `continue`, `del`, a change of an
  attribute or of an item.
- A named argument is left out. A block is run without its `with`. An `except` raises the error on.

Nothing is changed in annotations, decorators, the fields of dataclasses, f-strings (messages), log calls, and what is
for type checkers.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
# In a condition, 'always true' and 'always false' say more than the opposite does.
_OPPOSITES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LARGEST_NUMBER = 9
_LONGEST_TEXT = 160
_LOGS = ("_log", "log")

_Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[ast.AST, str, int | None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `function` and `change` name it, also after edits elsewhere in the module."""

    function: str
    change: str
    line: int
    last_line: int
    place: Place
    replacement: ast.AST

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the tree that the mutant is of has the change."""
        original = _put(self.place, self.replacement)
        try:
            yield
        finally:
            _put(self.place, original)

    def __str__(self) -> str:
        return f"{self.line}: {self.function}: {self.change}"


def mutants(tree: ast.Module) -> list[Mutant]:
    """All mutants of a module, in the order of its lines. Their names are unique."""
    found = sorted(_Search().in_body(tree, "<module>"), key=lambda mutant: mutant.line)
    seen: Counter[tuple[str, str]] = Counter()
    unique = []
    for mutant in found:
        seen[mutant.function, mutant.change] += 1
        number = seen[mutant.function, mutant.change]
        unique.append(mutant if number == 1 else replace(mutant, change=f"{mutant.change} (number {number})"))
    return unique


def _put(place: Place, node: ast.AST) -> ast.AST:
    """Puts `node` into its place, and returns what was there."""
    parent, field, index = place
    if index is None:
        before: ast.AST = getattr(parent, field)
        setattr(parent, field, node)
    else:
        items: list[ast.AST] = getattr(parent, field)
        before, items[index] = items[index], node
    return before


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _shown(node: ast.stmt) -> str:
    """A statement. Of an error, the kind alone: messages are reworded."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return f"raise {_text(node.exc.func)}(…)"
    return _text(node)


class _Search:
    def in_body(
        self, scope: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
    ) -> Iterator[Mutant]:
        for index, statement in enumerate(scope.body):
            yield from self.of_statement((scope, "body", index), statement, name)

    def of_statement(self, place: Place, node: ast.stmt, scope: str) -> Iterator[Mutant]:
        if _is_left_alone(node):
            return
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = node.name if scope == "<module>" else f"{scope}.{node.name}"
            if not isinstance(node, ast.ClassDef):
                yield from self._of_children(node.args, inner)
            yield from self.in_body(node, inner)
            return
        if _can_go(node):
            yield _mutant(place, ast.Pass(), node, scope, f"without `{_shown(node)}`")
        if isinstance(node, ast.If | ast.While):
            yield from self.of_condition((node, "test", None), node.test, scope, may_last=isinstance(node, ast.If))
        if isinstance(node, ast.With | ast.AsyncWith) and all(item.optional_vars is None for item in node.items):
            block = ast.If(test=ast.Constant(True), body=node.body, orelse=[])
            yield _mutant(place, block, node, scope, f"without `with {', '.join(map(_text, node.items))}`", node.lineno)
        yield from self._of_children(node, scope)

    def _of_children(self, node: ast.AST, scope: str) -> Iterator[Mutant]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) and field == "test":
                continue
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                place = (node, field, index if isinstance(value, list) else None)
                if isinstance(child, ast.stmt):
                    yield from self.of_statement(place, child, scope)
                elif isinstance(child, ast.expr):
                    yield from self.of_expression(place, child, scope)
                elif isinstance(child, ast.ExceptHandler):
                    raised = ast.ExceptHandler(type=child.type, name=child.name, body=[ast.Raise()])
                    if not isinstance(child.body[0], ast.Raise):
                        named = "" if child.type is None else f" {_text(child.type)}"
                        yield _mutant(place, raised, child, scope, f"`except{named}` raises on", child.lineno)
                    yield from self._of_children(child, scope)
                elif isinstance(child, ast.comprehension):
                    for position, condition in enumerate(child.ifs):
                        yield from self.of_condition((child, "ifs", position), condition, scope)
                    yield from self.of_expression((child, "iter", None), child.iter, scope)
                elif isinstance(child, ast.match_case):
                    if child.guard is not None:
                        yield from self.of_condition((child, "guard", None), child.guard, scope)
                    for position, statement in enumerate(child.body):
                        yield from self.of_statement((child, "body", position), statement, scope)
                elif isinstance(child, ast.arguments | ast.withitem | ast.keyword):
                    yield from self._of_children(child, scope)

    def of_condition(self, place: Place, node: ast.expr, scope: str, *, may_last: bool = True) -> Iterator[Mutant]:
        """`may_last`: that it is always true does not make the program go on for ever."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            # The opposite of what is always true is always false.
            yield from self.of_condition((node, "operand", None), node.operand, scope, may_last=may_last)
            return
        if isinstance(node, ast.BoolOp):
            known = isinstance(node.op, ast.And)
            for index, operand in enumerate(node.values):
                yield from self._without_operand(node, index, scope)
                yield from self.of_inner((node, "values", index), operand, scope)
            if may_last or known:
                yield self._always(place, node, scope, not known)
            return
        for value in (True, False):
            if may_last or not value:
                yield self._always(place, node, scope, value)
        yield from self.of_inner(place, node, scope)

    def of_inner(self, place: Place, node: ast.expr, scope: str) -> Iterator[Mutant]:
        """The mutants of a condition, without those that 'always true' and 'always false' make unnecessary."""
        if isinstance(node, ast.Compare) and all(isinstance(operator, _OPPOSITES) for operator in node.ops):
            for index, child in enumerate([node.left, *node.comparators]):
                where: Place = (node, "left", None) if index == 0 else (node, "comparators", index - 1)
                yield from self.of_expression(where, child, scope)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield from self.of_inner((node, "operand", None), node.operand, scope)
        else:
            yield from self.of_expression(place, node, scope)

    def of_expression(self, place: Place, node: ast.expr, scope: str) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.BoolOp):
            for index in range(len(node.values)):
                yield from self._without_operand(node, index, scope)
        elif isinstance(node, ast.IfExp):
            yield from self.of_condition((node, "test", None), node.test, scope)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _mutant(place, node.operand, node, scope, f"`{_text(node)}` without `not`")
        elif isinstance(node, ast.Compare):
            for index, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    yield _swapped((node, "ops", index), other(), node, node, scope)
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            if not any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right)):
                yield _swapped((node, "op", None), _OPERATORS[type(node.op)](), node, node, scope)
        elif isinstance(node, ast.Constant):
            yield from self._of_constant(place, node, scope)
        elif isinstance(node, ast.Name) and node.id in _FUNCTIONS and isinstance(place[0], ast.Call):
            yield _swapped(place, ast.Name(_FUNCTIONS[node.id], ast.Load()), node, place[0], scope)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field":
            return
        elif isinstance(node, ast.Call):
            for index, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    rest = [other for position, other in enumerate(node.keywords) if position != index]
                    shorter = ast.Call(func=node.func, args=node.args, keywords=rest)
                    change = f"`{_text(node.func)}(…)` without `{_text(keyword)}`"
                    yield _mutant(place, shorter, keyword, scope, change)
        yield from self._of_children(node, scope)

    def _of_constant(self, place: Place, node: ast.Constant, scope: str) -> Iterator[Mutant]:
        shown = place[0] if isinstance(place[0], ast.expr | ast.keyword | ast.Assign | ast.Return) else node
        if isinstance(node.value, bool):
            yield _swapped(place, ast.Constant(not node.value), node, shown, scope)
        elif isinstance(node.value, int) and node.value <= _LARGEST_NUMBER:
            for other in (node.value + 1, 0)[: 1 + (node.value == 1)]:
                yield _swapped(place, ast.Constant(other), node, shown, scope)

    @staticmethod
    def _always(place: Place, node: ast.expr, scope: str, value: bool) -> Mutant:
        return _mutant(place, ast.Constant(value), node, scope, f"`{_text(node)}` is always {value}")

    @staticmethod
    def _without_operand(node: ast.BoolOp, index: int, scope: str) -> Iterator[Mutant]:
        neutral = ast.Constant(isinstance(node.op, ast.And))
        if index == len(node.values) - 1:
            # `a or b` without `b` is `a`, and `False` would be another value.
            shorter: Place = (node, "values", index)
            neutral_last = node.values[index - 1] if len(node.values) == 2 else neutral
            yield _mutant(shorter, neutral_last, node.values[index], scope, _without(node, index))
        else:
            yield _mutant((node, "values", index), neutral, node.values[index], scope, _without(node, index))


def _without(node: ast.BoolOp, index: int) -> str:
    return f"`{_text(node)}` without `{_text(node.values[index])}`"


def _mutant(
    place: Place, replacement: ast.AST, node: ast.AST, scope: str, change: str, last_line: int | None = None
) -> Mutant:
    line: int = getattr(node, "lineno", 0)
    last: int = last_line or getattr(node, "end_lineno", None) or line
    return Mutant(scope, change, line, last, place, replacement)


def _swapped(place: Place, replacement: ast.AST, node: ast.expr, shown: ast.AST, scope: str) -> Mutant:
    before = _text(shown)
    original = _put(place, replacement)
    after = _text(shown) if shown is not node or place[0] is node else _text(replacement)
    _put(place, original)
    return _mutant(place, replacement, node, scope, f"`{before}` becomes `{after}`")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _is_left_alone(node: ast.stmt) -> bool:
    match node:
        case (
            ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError")))
        ):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in _LOGS
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == "__slots__"
        case ast.ClassDef(bases=bases):
            return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases)
    return False


def _can_go(node: ast.stmt) -> bool:
    match node:
        case ast.Expr() | ast.Raise() | ast.Break() | ast.Continue() | ast.Delete() | ast.AugAssign():
            return True
        case ast.Return(value=None):
            return True
        case ast.Assign(targets=targets):
            return all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets)
    return False
