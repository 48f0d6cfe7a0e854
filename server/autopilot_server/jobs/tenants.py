"""Tenants: ids of jobs, threads and requests are unique within one, and scoped by it inside the server.

A scoped id is the tenant's name, a separator that no id can hold, and the id as clients know it; of the tenant without
a name, which is everybody where no credentials are asked for, it is the id itself. A tenant therefore reaches nothing
of another: what it asks for is not there, on the same way through the program as what never was.
"""

import re

SEPARATOR = "\x1f"

TENANT = re.compile(r"[a-z0-9-]{0,63}")


def scoped(tenant: str, public_id: str) -> str:
    """An id as the store has it. An empty id stays empty."""
    return f"{tenant}{SEPARATOR}{public_id}" if tenant and public_id else public_id


def public(scoped_id: str) -> str:
    """An id as its tenant's clients know it."""
    return scoped_id.rpartition(SEPARATOR)[2]


def tenant_of(scoped_id: str) -> str:
    """The tenant that an id belongs to."""
    return scoped_id.rpartition(SEPARATOR)[0]
