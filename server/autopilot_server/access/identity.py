"""An identity: who calls, of which tenant, and what it may do with the jobs of which workflows."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType

from autopilot_server.jobs.errors import MethodForbiddenError, job_not_found, workflow_not_found
from autopilot_server.jobs.tenants import TENANT, public

# Names of workflows with * and ?. No [sets]: SQLite and Python write them in different ways.
PATTERN = re.compile(r"[a-zA-Z0-9._*?-]{1,100}")

EVERY_WORKFLOW = "*"


class Right(StrEnum):
    """What an identity may do with the jobs of a workflow."""

    SUBMIT = "submit"
    """Submit jobs."""
    READ = "read"
    """See the workflow, its jobs, their events and checkpoints."""
    CONTROL = "control"
    """Cancel, resume and delete jobs. Their answers show the jobs: includes READ."""
    ADMIN = "admin"
    """Prune."""


# The right that a method needs, for at least one workflow. A method that is not here is for nobody.
METHODS: Mapping[str, Right] = MappingProxyType(
    {
        "SubmitJob": Right.SUBMIT,
        "GetStatus": Right.READ,
        "ListJobs": Right.READ,
        "WatchProgress": Right.READ,
        "ListCheckpoints": Right.READ,
        "ListWorkflows": Right.READ,
        "Cancel": Right.CONTROL,
        "Resume": Right.CONTROL,
        "DeleteJob": Right.CONTROL,
        "PruneJobs": Right.ADMIN,
    }
)

_GIVEN_BY = {right: frozenset({right}) for right in Right} | {Right.READ: frozenset({Right.READ, Right.CONTROL})}


class GrantError(ValueError):
    """A grant, or an identity, is out of form. The message says how."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights on the jobs of the workflows whose names a pattern matches."""

    rights: frozenset[Right]
    workflows: str = EVERY_WORKFLOW
    """A name with `*` for any characters and `?` for one; upper and lower case differ."""

    def __post_init__(self) -> None:
        """Check the form. GrantError."""
        if not self.rights:
            raise GrantError(f"a grant has at least one of the rights {', '.join(Right)}")
        if not PATTERN.fullmatch(self.workflows):
            raise GrantError(
                f"{self.workflows!r} is no pattern of workflows: 1 to 100 of the characters a-z A-Z 0-9 . _ - * ?"
            )

    @classmethod
    def of(cls, rights: Iterable[str], workflows: str = EVERY_WORKFLOW) -> "Grant":
        """A grant from the names of rights. GrantError."""
        try:
            return cls(frozenset(Right(name) for name in rights), workflows)
        except ValueError as error:
            if isinstance(error, GrantError):
                raise
            raise GrantError(f"{error}: rights are {', '.join(Right)}") from None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Two callers of a tenant see the same jobs, each as far as its grants go."""

    name: str
    """For people, the log and the audit: the name of the token's entry, of the certificate's, the claim `sub`."""
    tenant: str
    grants: tuple[Grant, ...]
    credential: str = field(default="", compare=False)
    """By what it is known, for the audit: `token 5f0c2a91`."""

    def __post_init__(self) -> None:
        """Check the form. GrantError."""
        if not TENANT.fullmatch(self.tenant):
            raise GrantError(f"{self.tenant!r} is no tenant's name: at most 63 of the characters a-z 0-9 -")

    def holds(self, right: Right) -> bool:
        """Whether it has a right for any workflow at all."""
        return any(grant.rights & _GIVEN_BY[right] for grant in self.grants)

    def may(self, right: Right, workflow: str) -> bool:
        """Whether it has a right for a workflow."""
        wanted = _GIVEN_BY[right]
        return any(grant.rights & wanted and fnmatchcase(workflow, grant.workflows) for grant in self.grants)

    def patterns(self, right: Right) -> tuple[str, ...] | None:
        """The patterns of the workflows that it has a right for; None when that is every one."""
        found = tuple(grant.workflows for grant in self.grants if grant.rights & _GIVEN_BY[right])
        return None if EVERY_WORKFLOW in found else found

    # --- checks, which raise what the client gets ---

    def check_method(self, method: str) -> None:
        """MethodForbiddenError when it may call a method for no workflow."""
        right = METHODS.get(method)
        if right is None or not self.holds(right):
            needed = "is for nobody" if right is None else f"needs the right {right!r}, which these credentials lack"
            raise MethodForbiddenError(f"{method} {needed}.", method=method)

    def check_job(self, method: str, job_id: str, workflow: str) -> None:
        """What a method may do with a job of a workflow: JobNotFoundError, MethodForbiddenError.

        A job that it may not read is not there for it.
        """
        if not self.may(Right.READ, workflow):
            raise job_not_found(public(job_id))
        self._check_right(method, workflow)

    def check_workflow(self, method: str, workflow: str) -> None:
        """What a method may do with a workflow: WorkflowNotFoundError, MethodForbiddenError.

        A workflow that it may neither read nor use so is not there for it.
        """
        if self.may(METHODS[method], workflow):
            return
        if not self.may(Right.READ, workflow):
            raise workflow_not_found(workflow)
        self._check_right(method, workflow)

    def _check_right(self, method: str, workflow: str) -> None:
        right = METHODS[method]
        if not self.may(right, workflow):
            raise MethodForbiddenError(
                f"{method} needs the right {right!r} for workflow {workflow!r}, which these credentials lack.",
                method=method,
            )


EVERYBODY = Identity("", "", (Grant(frozenset(Right)),))
"""Who calls where no credentials are asked for."""
