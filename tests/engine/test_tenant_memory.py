"""What workflows keep in `runtime.store` for one tenant is not there for another."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from autopilot_server.engine.memory import Memory, open_memory
from autopilot_server.engine.tenant_memory import TenantMemory
from autopilot_server.storage.sqlite.migrations import migrate
from langgraph.store.base import BaseStore

# One's name begins with another's, and one could be taken for a pattern of SQL.
TENANTS = ("", "a", "ab", "a-b")


@pytest.fixture(params=["sqlite", "postgres"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            migrate(tmp_path / "jobs.db")
            url = f"sqlite:///{tmp_path}/jobs.db"
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_server").database())
        memory = stack.enter_context(closing(open_memory(url)))
        # By another process, which finds the tables there.
        open_memory(url).close()
        yield memory


def seen(store: BaseStore) -> list[object]:
    return [
        sorted((item.namespace, item.key, item.value["of"]) for item in store.search((), limit=100)),
        sorted((item.namespace, item.value["of"]) for item in store.search(("users",))),
        sorted(store.list_namespaces()),
        sorted(store.list_namespaces(prefix=("users",), max_depth=2)),
        sorted(store.list_namespaces(suffix=("1",))),
        [item and (item.namespace, item.value["of"]) for item in [store.get(("users", "1"), "k")]],
    ]


def fill(store: BaseStore, tenant: str) -> None:
    for namespace in (("users", "1"), ("users", "2", "deep"), ("other",)):
        store.put(namespace, "k", {"of": tenant})


def test_each_tenant_sees_its_own_as_if_it_were_alone(memory: Memory, tmp_path: Path) -> None:
    stores = {tenant: TenantMemory(memory, tenant) for tenant in TENANTS}
    migrate(tmp_path / "alone.db")
    alone = open_memory(f"sqlite:///{tmp_path}/alone.db")
    nothing = seen(alone)
    for tenant, store in stores.items():
        assert seen(store) == nothing, tenant
        fill(store, tenant)
    for tenant, store in stores.items():
        fill(alone, tenant)
        assert seen(store) == seen(alone), tenant
    stores["a"].delete(("users", "1"), "k")
    assert stores["a"].get(("users", "1"), "k") is None
    assert all(stores[tenant].get(("users", "1"), "k") is not None for tenant in TENANTS if tenant != "a")
    alone.close()


async def test_the_same_when_it_is_awaited(memory: Memory) -> None:
    a, b = TenantMemory(memory, "a"), TenantMemory(memory, "ab")
    await a.aput(("users",), "k", {"of": "a"})
    assert (await b.aget(("users",), "k"), await b.asearch(())) == (None, [])
    found = await a.aget(("users",), "k")
    assert found is not None
    assert (found.namespace, [item.namespace for item in await a.asearch(())]) == (("users",), [("users",)])


def test_nobody_names_another_s_place(memory: Memory) -> None:
    fill(TenantMemory(memory, "a"), "a")
    for tenant in TENANTS:
        for place in ("\x1fa\x1f", "\x1f"):
            with pytest.raises(ValueError, match="control character"):
                TenantMemory(memory, tenant).get((place, "users", "1"), "k")
            with pytest.raises(ValueError, match="control character"):
                TenantMemory(memory, tenant).search((place,))


def test_what_was_kept_before_there_were_tenants_is_the_nameless_one_s(memory: Memory) -> None:
    fill(memory, "")
    assert len(TenantMemory(memory, "").search(())) == 3
    assert TenantMemory(memory, "a").search(()) == []
