"""Looks whether the classes that the setting allows in checkpoints are there."""

import importlib
import logging
from collections.abc import Sequence

from autopilot_server.engine.workflows import error_line
from autopilot_server.jobs.errors import StartupError

log = logging.getLogger(__name__)


def check_classes(allowed: Sequence[tuple[str, str]]) -> None:
    """Refuse, with StartupError, what checkpoints could not hold although the setting allows it.

    Only once the workflows are loaded: the classes may be theirs.
    """
    for module, name in allowed:
        where = f"--allowed-types {module}:{name}"
        try:
            found = getattr(importlib.import_module(module), name, None)
        except (Exception, SystemExit) as error:
            # Whatever the user's module raises while it is imported.
            log.debug("cannot import %s", module, exc_info=error)
            raise StartupError(f"{where}: cannot import {module}: {error_line(error)}") from error
        if not isinstance(found, type):
            raise StartupError(f"{where}: the module has no class {name!r}; give a class as module:Class")
        # A checkpoint names the place of the definition.
        if (found.__module__, found.__name__) != (module, name):
            raise StartupError(f"{where}: the class is defined elsewhere: give {found.__module__}:{found.__name__}")
