"""The fields bound with ``structlog.contextvars``, in time proportional to their number.

structlog makes a ContextVar for each name that was ever bound, and keeps it for ever. Unbinding
sets the variable to an ellipsis, so it stays in its context as well. In a service that binds names
which its clients have sent, both grow with each request. So no line may visit all names, or all
variables of a context.

CPython keeps the variables of a context in an immutable tree. Setting one makes a new tree, which
shares all branches but one with the former. ``gc`` returns the branches. The variables found in a
tree are remembered for as long as that tree lives, and branches in which nothing is bound are
skipped in the next one. The number of the variables that were visited or skipped must be the length
of the context. Otherwise, as in another Python, all variables are visited.
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

# So few variables are visited one by one, which is faster than walking the tree.
_FEW: Final = 64
# Trees whose variables are remembered, such as those of running tasks.
_MOST_TREES: Final = 256
# Branches that are skipped: so many, and beyond that in proportion to the tree.
_MOST_BRANCHES: Final = 2048
# Variables of a branch that is remembered. Smaller ones are skipped with the branch above.
_WORTHWHILE: Final = 8
_NO_VARIABLE: Final[ContextVar[Any]] = ContextVar("mozlog_no_variable")
_PREFIX_LENGTH: Final = len("structlog_")

_modules: Final = sys.modules
_referents: Final = gc.get_referents


def structlog_registry() -> Any:
    """Return structlog's registry of its ContextVars, which is empty before the first bind.

    structlog's public function visits every variable of the context, so the registry, which is
    private, is read instead.

    Returns:
        The registry; True where structlog has none, so that fields may be bound; None where
        ``structlog.contextvars`` is not loaded.
    """
    module = _modules.get("structlog.contextvars")
    if module is None:
        return None
    registry = getattr(module, "_CONTEXT_VARS", True)
    return registry if isinstance(registry, dict) else True


def bound_now(registry: dict[str, ContextVar[Any]]) -> list[Bound]:
    """Return the variables that are bound in the current context.

    Args:
        registry: The result of ``structlog_registry()``.

    Returns:
        The variables with their values: in the order in which the names were first bound in
        this process, and by name where the process has bound more than 64 names.
    """
    if len(registry) > _FEW:
        return bound_in(copy_context(), registry)
    # list() is one C call: another thread may be adding a name.
    return [
        (variable, value)
        for variable in list(registry.values())
        if (value := variable.get(...)) is not ...
    ]


def fields_now(registry: dict[str, ContextVar[Any]]) -> dict[str, Any]:
    """Return the fields that are bound in the current context, by name."""
    if len(registry) > _FEW:
        bound = bound_in(copy_context(), registry)
        return {variable.name[_PREFIX_LENGTH:]: value for variable, value in bound}
    # This case is apart, since it is the common one and each line calls this.
    return {
        name[_PREFIX_LENGTH:]: value
        for name, variable in list(registry.items())
        if (value := variable.get(...)) is not ...
    }


def bound_in(context: Context, registry: dict[str, ContextVar[Any]]) -> list[Bound]:
    """Return the variables that are bound in a context, in the order of ``bound_now``.

    Args:
        context: A copy of a context.
        registry: The result of ``structlog_registry()``.
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
    """The bound variables of contexts with many variables, by their trees."""

    def __init__(self) -> None:
        # By the tree's id. The entry is removed with its tree, so that it keeps no value alive.
        self._known: dict[int, tuple[weakref.ref[Any], list[Bound]]] = {}
        # By their id, the branches in which nothing is bound, with their numbers of variables.
        # To keep them alive costs little: they hold variables and ellipses alone.
        self._empty: dict[int, tuple[Any, int]] = {}
        self._kinds: _Kinds | None = None

    def bound_in(self, context: Context, registry: dict[str, ContextVar[Any]]) -> list[Bound]:
        """Return the variables that are bound in a context."""
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
            tree: The tree of a context.
            total: How many variables the context has.
            kinds: The types of the tree and of its branches.

        Returns:
            None where the numbers of variables do not add up.
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
                # The values beside them change more often than they do.
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
    """The types of a context's tree and of its branches, which Python code cannot name."""

    def __init__(self, tree: type, array: type, bitmap: type) -> None:
        self.tree = tree
        self.array = array
        self.bitmap = bitmap

    def is_collision(self, kind: type) -> bool:
        """Return whether a type is that of branches with variables of one hash.

        By its name: making such a branch to see its type would take variables with one hash.
        """
        return _name_of_type(kind) == _COLLISION and not _flags_of(kind) & _IS_MADE_BY_CODE


# The slots of type: a metaclass may override the attributes.
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
        # Another Python has another structure.
        return None
    return _Kinds(type(tree), type(root), other)


_trees: Final = _Trees()
