"""A tenant's part of LangGraph's long-term memory: what is kept for one tenant's jobs is not there for another's."""

from collections.abc import Iterable
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
)

from autopilot_server.jobs.tenants import SEPARATOR

Namespace = tuple[str, ...]


class TenantMemory(BaseStore):
    """A memory whose namespaces lie below one of the tenant. The tenant without a name has what is below no other's."""

    def __init__(self, memory: BaseStore, tenant: str) -> None:
        """A view of `memory`, cheap enough for each run."""
        self._memory = memory
        # LangGraph finds what begins with a text: closed, so that no tenant's name begins with another's.
        self._root: Namespace = (f"{SEPARATOR}{tenant}{SEPARATOR}",) if tenant else ()
        self.supports_ttl, self.ttl_config = memory.supports_ttl, memory.ttl_config

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As the memory's."""
        return [self._shown(result) for result in self._memory.batch([self._scoped(op) for op in ops])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As the memory's."""
        results = await self._memory.abatch([self._scoped(op) for op in ops])
        return [self._shown(result) for result in results]

    def _scoped(self, op: Op) -> Op:
        match op:
            case GetOp() | PutOp():
                return op._replace(namespace=self._below(op.namespace))
            case SearchOp():
                return op._replace(namespace_prefix=self._below(op.namespace_prefix))
            case ListNamespacesOp() if self._root:
                depth = None if op.max_depth is None else op.max_depth + 1
                return op._replace(match_conditions=self._conditions(op), max_depth=depth)
            case _:
                return op

    def _below(self, namespace: Namespace) -> Namespace:
        if namespace and str(namespace[0]).startswith(SEPARATOR):
            raise ValueError("a namespace must not begin with a control character")
        return (*self._root, *namespace)

    def _conditions(self, op: ListNamespacesOp) -> tuple[MatchCondition, ...]:
        given = op.match_conditions or ()
        below = tuple(
            condition._replace(path=(*self._root, *condition.path)) if condition.match_type == "prefix" else condition
            for condition in given
        )
        return (MatchCondition(match_type="prefix", path=self._root), *below)

    # --- results: without the root, and nothing of others ---

    def _shown(self, result: Any) -> Result:
        if isinstance(result, list):
            return [self._stripped(each) for each in result if self._is_own(_namespace(each))]
        return None if result is None else self._stripped(result)

    def _is_own(self, namespace: Namespace) -> bool:
        if self._root:
            return namespace[:1] == self._root
        return not (namespace and namespace[0].startswith(SEPARATOR))

    def _stripped(self, result: Any) -> Any:
        rest = _namespace(result)[len(self._root) :]
        if isinstance(result, tuple):
            return rest
        result.namespace = rest
        return result


def _namespace(result: Any) -> Namespace:
    """Of an item, or of a list of namespaces."""
    return result if isinstance(result, tuple) else result.namespace
