"""`make audit-dependencies`: asks whether vulnerabilities are known of the locked packages.

Ends with 1 when there are any. When nobody answers that is said, and is no pass; CI, which may have no way out, goes
on.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# dev.txt has all of server.txt.
LOCKS = ("dev.txt", "release.txt")


def main() -> int:
    """Ask for each lock, and tell. The exit code."""
    return max(_judge(lock, *_ask(ROOT / "requirements" / lock)) for lock in LOCKS)


def _ask(lock: Path) -> tuple[str, str]:
    """What pip-audit answers, and what it complains of."""
    program = ROOT / ".venv-release/bin/pip-audit"
    command = [program, "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    # The locks are whole: nothing is resolved, and nothing installed.
    done = subprocess.run(
        [*command, "--disable-pip", "--require-hashes", "--requirement", lock], capture_output=True, text=True
    )
    return done.stdout, done.stderr


def _judge(lock: str, answer: str, complaint: str) -> int:
    """Tell what an answer means. 1 for a vulnerability."""
    packages = _packages(answer)
    known = [each for each in packages if "skip_reason" not in each]
    found = [(each, vulnerability) for each in known for vulnerability in each["vulns"]]
    for each, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
        print(f"audit: {lock}: {each['name']} {each['version']}: {vulnerability['id']}, mended in {fixed}")
    if not known:
        why = "it knows none of the packages" if packages else complaint.strip().rpartition("\n")[2]
        print(f"audit: {lock}: NOT RUN: the advisory service cannot be reached ({why[:200]})")
    elif unknown := [each["name"] for each in packages if "skip_reason" in each]:
        print(f"audit: {lock}: not audited, the service does not know them: {', '.join(unknown)}")
    if known and not found:
        print(f"audit: {lock}: nothing is known against {len(known)} packages")
    return int(bool(found))


def _packages(answer: str) -> Sequence[dict[str, Any]]:
    try:
        packages: Sequence[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return ()
    return packages


if __name__ == "__main__":
    sys.exit(main())
