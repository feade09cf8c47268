"""Changes the functions of a module that is imported already."""

import ast
import gc
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FunctionType


class LiveFunctions:
    """The functions of `file` in this process, those inside of other functions too."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._functions: defaultdict[tuple[str, int], list[FunctionType]] = defaultdict(list)
        for function in gc.get_objects():
            if isinstance(function, FunctionType) and function.__code__.co_filename == file:
                self._functions[_name(function.__code__)].append(function)

    def change(self, changed: ast.Module) -> bool:
        """Gives all functions the code that they have in `changed`.

        Returns False if no function has other code, or if one would need another closure: import the module anew.
        """
        count = 0
        for code in _code_objects(compile(ast.fix_missing_locations(changed), self._file, "exec")):
            for function in self._functions[_name(code)]:
                if function.__code__ != code:
                    try:
                        function.__code__ = code
                    except ValueError:
                        return False
                    count += 1
        return count > 0


def _name(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _code_objects(constant)
