"""What is bound with ``structlog.contextvars``, at the price of what is bound.

structlog has a ContextVar for each name that was ever bound, and keeps it for ever. To
unbind is to set it to an ellipsis, so that it stays in its context as well. A service
that binds names which its clients have sent has more of both with each request. So
neither all names nor all variables of a context may be looked at for each line.

CPython keeps the variables of a context in a tree that never changes: to set one makes a
new tree, which shares all branches but one with the former. ``gc`` shows the branches. What
was found in a tree is remembered for as long as that tree lives, and branches in which
nothing is bound are passed over in the next one. The sum of the variables that were seen,
or passed over, must be what the context says it has; else, as in another Python, they are
looked at one by one.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

from mozlog_py._process.memo import remember

__all__ = ["bound_in", "bound_now", "fields_now", "structlog_registry"]

#: A variable with its value.
Bound = tuple[ContextVar[Any], Any]

# As many are looked at one by one: that is faster than anything clever.
_FEW: Final = 64
# Trees whose variables are remembered, such as those of the tasks that run.
_MOST_TREES: Final = 256
# Branches that are passed over: as many, and beyond that in proportion to the tree.
_MOST_BRANCHES: Final = 2048
# Smaller ones are many, and are passed over with the branch that they are in.
_WORTHWHILE: Final = 8
_NO_VARIABLE: Final[ContextVar[Any]] = ContextVar("mozlog_no_variable")
_PREFIX_LENGTH: Final = len("structlog_")

_modules: Final = sys.modules
_referents: Final = gc.get_referents


def structlog_registry() -> Any:
    """Give what structlog keeps its context in, which is empty where nothing was ever bound.

    True where it keeps it elsewhere, so that there may be something; None
    where it is not loaded. structlog has a ContextVar for each key and finds
    them by walking all there are; its registry of them is the short way, and
    its public function is there for the day the registry is not.
    """
    module = _modules.get("structlog.contextvars")
    if module is None:
        return None
    registry = getattr(module, "_CONTEXT_VARS", True)
    return registry if isinstance(registry, dict) else True


def bound_now(registry: dict[str, ContextVar[Any]]) -> list[Bound]:
    """Return what is bound in the current context.

    Args:
        registry: What ``structlog_registry()`` has returned.

    Returns:
        The variables with their values: in the order in which the names were first bound in
        this process, and by name where the process has bound more than 64 names.
    """
    if len(registry) > _FEW:
        return bound_in(copy_context(), registry)
    # list() is one step: another thread may be adding a name.
    return [
        (variable, value)
        for variable in list(registry.values())
        if (value := variable.get(...)) is not ...
    ]


def fields_now(registry: dict[str, ContextVar[Any]]) -> dict[str, Any]:
    """Return the same by the names that it was bound with."""
    if len(registry) > _FEW:
        bound = bound_in(copy_context(), registry)
        return {variable.name[_PREFIX_LENGTH:]: value for variable, value in bound}
    # Each line asks, and most often there are few.
    return {
        name[_PREFIX_LENGTH:]: value
        for name, variable in list(registry.items())
        if (value := variable.get(...)) is not ...
    }


def bound_in(context: Context, registry: dict[str, ContextVar[Any]]) -> list[Bound]:
    """Return what is bound in a context, as ``bound_now`` does for the current one.

    Args:
        context: A copy of a context.
        registry: What ``structlog_registry()`` has returned.
    """
    if len(registry) <= _FEW:
        return [
            (variable, value)
            for variable in list(registry.values())
            if (value := context.get(variable, ...)) is not ...
        ]
    if len(context) <= _FEW:
        return _of_structlog(context.items(), registry)
    return _trees.bound_in(context, registry)


def _of_structlog(
    items: Iterable[tuple[ContextVar[Any], Any]], registry: dict[str, ContextVar[Any]]
) -> list[Bound]:
    found: list[Bound] = [
        (variable, value)
        for variable, value in items
        if value is not ... and registry.get(variable.name, _NO_VARIABLE) is variable
    ]
    # The tree has them in the order of their hashes.
    found.sort(key=_name_of)
    return found


def _name_of(bound: Bound) -> str:
    return bound[0].name


class _Trees:
    """What was found in the trees of contexts with many variables."""

    def __init__(self) -> None:
        # By the tree's id. The entry goes with its tree, and keeps no value longer than that.
        self._known: dict[int, tuple[weakref.ref[Any], list[Bound]]] = {}
        # By their id, the branches in which nothing is bound, and how many variables each
        # has. There is nothing in them but variables and ellipses.
        self._empty: dict[int, tuple[Any, int]] = {}
        self._kinds: _Kinds | None = None

    def bound_in(self, context: Context, registry: dict[str, ContextVar[Any]]) -> list[Bound]:
        """Return what is bound in a context."""
        kinds = self._kinds
        if kinds is None:
            kinds = self._kinds = _kinds_of_tree()
        held = _referents(context)
        tree = held[0] if len(held) == 1 else None
        if kinds is None or type(tree) is not kinds.tree:
            return _of_structlog(context.items(), registry)
        key = id(tree)
        known = self._known.get(key)
        if known is not None and known[0]() is tree:
            return known[1]
        variables = self._walk(tree, len(context), kinds)
        if variables is None:
            variables = [*context]
        items = ((variable, context.get(variable, ...)) for variable in variables)
        found = _of_structlog(items, registry)
        ended = weakref.ref(tree, lambda ended: self._forget(key, ended))
        remember(self._known, key, (ended, found), _MOST_TREES)
        return found

    def _forget(self, key: int, ended: weakref.ref[Any]) -> None:
        known = self._known.get(key)
        # Another tree may have the id by now.
        if known is not None and known[0] is ended:
            self._known.pop(key, None)

    def _walk(self, tree: Any, total: int, kinds: _Kinds) -> list[ContextVar[Any]] | None:
        """Return the variables of a tree, without those of empty branches.

        Args:
            tree: What a context keeps its variables in.
            total: How many there are.
            kinds: The types of the tree and of its branches.

        Returns:
            None where not all of them were seen.
        """
        array, bitmap = kinds.array, kinds.bitmap
        empty = self._empty
        found_empty: dict[int, tuple[Any, int]] = {}
        variables: list[ContextVar[Any]] = []

        def walk(branch: Any) -> tuple[int, bool]:
            """Return how many variables a branch has, and whether nothing in it is bound."""
            count, is_empty = 0, True
            own: list[ContextVar[Any]] = []
            small: list[tuple[Any, int]] = []
            for child in _referents(branch):
                kind = type(child)
                if kind is ContextVar:
                    own.append(child)
                elif kind is array or kind is bitmap or kinds.is_collision(kind):
                    known = empty.get(id(child))
                    if known is not None:
                        count += known[1]
                        continue
                    below, is_empty_below = walk(child)
                    count += below
                    if not is_empty_below:
                        is_empty = False
                    elif below < _WORTHWHILE:
                        small.append((child, below))
                elif child is not ...:
                    is_empty = False
            count += len(own)
            if not is_empty:
                variables.extend(own)
                # What is bound beside them changes more often than they do.
                found_empty.update((id(each[0]), each) for each in small)
            elif count >= _WORTHWHILE:
                found_empty[id(branch)] = branch, count
            return count, is_empty

        count, _ = walk(tree)
        if count != total:
            return None
        if len(empty) + len(found_empty) > _MOST_BRANCHES + total // _WORTHWHILE:
            self._empty = found_empty
        else:
            empty.update(found_empty)
        return variables


class _Kinds:
    """The types of a context's tree and of its branches, of which Python code makes none."""

    def __init__(self, tree: type, array: type, bitmap: type) -> None:
        self.tree = tree
        self.array = array
        self.bitmap = bitmap

    def is_collision(self, kind: type) -> bool:
        """Return whether this is the type of branches with variables of one hash.

        Too few have one to make such a branch for a look at its type.
        """
        return _name_of_type(kind) == _COLLISION and not _flags_of(kind) & _IS_MADE_BY_CODE


# Past what a metaclass may say.
_name_of_type: Final = type.__dict__["__name__"].__get__
_flags_of: Final = type.__dict__["__flags__"].__get__
_COLLISION: Final = "hamt_collision_node"
# Source: Py_TPFLAGS_HEAPTYPE of CPython's object.h.
_IS_MADE_BY_CODE: Final = 1 << 9


def _kinds_of_tree() -> _Kinds | None:
    """Return the types of a context's tree and of its branches; None if they are unknown."""
    context = Context()
    for number in range(200):
        variable: ContextVar[int] = ContextVar(f"mozlog_{number}")
        context.run(variable.set, number)
    try:
        (tree,) = _referents(context)
        (root,) = _referents(tree)
        (other,) = {type(child) for child in _referents(root)} - {ContextVar, int}
    except ValueError:
        # Another Python, which keeps them in another way.
        return None
    return _Kinds(type(tree), type(root), other)


_trees: Final = _Trees()
