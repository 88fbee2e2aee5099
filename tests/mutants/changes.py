"""Single changes of a source text: each a small, valid program that means something else."""

import ast
import hashlib
import warnings
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

COMPARISONS = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
#: Calls that guard, escape, bound or order what goes in: without them the argument passes as it came.
DROPPED = {"escape", "clamp", "clip", "abs", "sorted", "reversed", "round", "fsum", "clamp_min", "clamp_max"}
EXCHANGED = {"min": "max", "any": "all", "minimum": "maximum", "amin": "amax", "argmin": "argmax"}
EXCHANGED |= {there: here for here, there in EXCHANGED.items()}
#: Places where a change means nothing to a user, or only another wording.
PASSED_OVER = (ast.Raise, ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr)


@dataclass(frozen=True)
class Change:
    """Some text of a file in place of another, and the qualified name of the function it is in, if any."""

    path: Path
    start: int
    end: int
    new: str
    line: int
    function: str
    order: str

    def applied(self, text: str) -> str:
        """The whole changed file."""
        coded = text.encode()
        return (coded[: self.start] + self.new.encode() + coded[self.end :]).decode()

    def difference(self, text: str) -> tuple[str, str]:
        """The changed lines, before and after."""
        coded = text.encode()
        begin = coded.rfind(b"\n", 0, self.start) + 1
        finish = coded.find(b"\n", self.end)
        before = coded[begin:finish].decode()
        after = (coded[begin : self.start] + self.new.encode() + coded[self.end : finish]).decode()
        return before.strip(), after.strip()


class Finder(ast.NodeVisitor):
    """Walks through a file and yields replacements ``(start, end, new text, line, function)``."""

    def __init__(self, text: str) -> None:
        self.coded = text.encode()
        self.starts = [0]
        for line in self.coded.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.function = ""
        self.within = ""  # what a definition's name begins with here
        self.found: list[tuple[int, int, str, int, str]] = []
        self.visit(ast.parse(text))

    def span(self, node) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node) -> str:
        start, end = self.span(node)
        return self.coded[start:end].decode()

    def put(self, node, new: str) -> None:
        self.found.append((*self.span(node), new, node.lineno, self.function))

    def between(self, left, right, new: str) -> None:
        """Change what stands between two expressions, unless brackets or remarks are there too."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = self.coded[start:end].decode()
        if not set("()#") & set(gap):
            self.found.append((start, end, f" {new} ", left.lineno, self.function))

    def visit(self, node) -> None:
        if isinstance(node, PASSED_OVER) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in self.text(node.test)
        ):
            return
        super().visit(node)

    def visit_FunctionDef(self, node) -> None:
        outer = self.function, self.within
        defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        self.function = self.within + node.name
        self.within = f"{self.function}.<locals>."
        for part in [*defaults, *node.body]:
            self.visit(part)
        self.function, self.within = outer

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node) -> None:
        outer, self.within = self.within, f"{self.within}{node.name}."
        for part in node.body:
            self.visit(part)
        self.within = outer

    def visit_AnnAssign(self, node) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Compare(self, node) -> None:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            for new in COMPARISONS[type(operator)]:
                self.between(left, right, new)
        self.generic_visit(node)

    def visit_BinOp(self, node) -> None:
        texts = any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str)
                    for side in (node.left, node.right))  # fmt: skip
        types = "None" in (self.text(node.left), self.text(node.right))
        if type(node.op) in OPERATORS and not texts and not types:
            self.between(node.left, node.right, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node) -> None:
        new = "or" if isinstance(node.op, ast.And) else "and"
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.put(node, f"({self.text(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node) -> None:
        if isinstance(node.value, bool):
            self.put(node, str(not node.value))
        elif isinstance(node.value, int):
            self.put(node, str(node.value + 1))
            if node.value > 0:
                self.put(node, str(node.value - 1))
        elif isinstance(node.value, float):
            self.put(node, repr(node.value * 2 if node.value else 1.0))

    def visit_If(self, node) -> None:
        leaves = isinstance(node.body[-1], ast.Raise | ast.Return | ast.Continue | ast.Break)
        if leaves and not node.orelse:
            self.put(node.test, "False")  # the guard is gone
        else:
            self.put(node.test, f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node) -> None:
        self.put(node.test, f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_Return(self, node) -> None:
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            return
        self.put(node.value, "None")
        self.generic_visit(node)

    def visit_Call(self, node) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        plain = [a for a in node.args if not isinstance(a, ast.Starred)]
        if name in EXCHANGED:
            end = self.span(node.func)[1]
            self.found.append((end - len(name), end, EXCHANGED[name], node.lineno, self.function))
        if name in DROPPED:
            method = isinstance(node.func, ast.Attribute) and not (
                isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("np", "torch", "math", "html")
            )
            if method:
                self.put(node, self.text(node.func.value))
            elif plain:
                self.put(node, f"({self.text(plain[0])})")
        if len(plain) > 1 and len(plain) == len(node.args) and self.text(plain[0]) != self.text(plain[1]):
            first, second = self.span(plain[0]), self.span(plain[1])
            gap = self.coded[first[1] : second[0]].decode()
            new = f"{self.text(plain[1])}{gap}{self.text(plain[0])}"
            self.found.append((first[0], second[1], new, node.lineno, self.function))
        self.generic_visit(node)


def changes(path: Path, text: str, relative: str) -> list[Change]:
    """Every change of one file."""
    counted: dict[str, int] = {}
    found = []
    for start, end, new, line, function in Finder(text).found:
        change = Change(path, start, end, new, line, function, "")
        key = "|".join([relative, function, *change.difference(text)])
        counted[key] = counted.get(key, 0) + 1
        found.append(replace(change, order=f"{key}|{counted[key]}"))
    return found


def compiles(change: Change) -> bool:
    """Whether the changed file is a program at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(change.applied(change.path.read_text()), change.path.name, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def draw(found: list[Change], count: int, seed: int) -> list[Change]:
    """As if at random, and yet the same changes when other lines of the source have changed.

    Each change has a place of its own by a hash of the seed and its text; the first ``count`` are taken.
    """

    def place(change: Change) -> bytes:
        return hashlib.sha256(f"{seed}|{change.order}".encode()).digest()

    return list(islice(filter(compiles, sorted(found, key=place)), count))
