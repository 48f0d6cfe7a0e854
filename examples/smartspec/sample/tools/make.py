"""Does the work of the sample specification, for real: writes a package, and the tests of it.

Each task leaves a line in effects.log: how often it really ran.
"""

import sys
import time
from pathlib import Path

BUILD = Path("build")
PACKAGE = BUILD / "calc"

FILES = {
    "package": {PACKAGE / "__init__.py": '"""A tiny calculator."""\n__version__ = "1.0"\n'},
    "add": {
        PACKAGE / "add.py": "def add(a, b):\n    return a + b\n",
        BUILD / "test_add.py": (
            "import unittest\nfrom calc.add import add\n\n\nclass T(unittest.TestCase):\n"
            "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
        ),
    },
    "multiply": {
        PACKAGE / "multiply.py": "def multiply(a, b):\n    return a * b\n",
        BUILD / "test_multiply.py": (
            "import unittest\nfrom calc.multiply import multiply\n\n\nclass T(unittest.TestCase):\n"
            "    def test_multiply(self):\n        self.assertEqual(multiply(2, 3), 6)\n"
        ),
    },
    "docs": {BUILD / "README.md": "# calc\n\n`python3 -m calc add 2 3`\n"},
    "cli": {
        PACKAGE / "__main__.py": (
            "import sys\nfrom calc.add import add\nfrom calc.multiply import multiply\n\n"
            "name, *numbers = sys.argv[1:]\n"
            "print({'add': add, 'multiply': multiply}[name](*map(int, numbers)))\n"
        ),
        BUILD / "test_cli.py": (
            "import subprocess\nimport sys\nimport unittest\nfrom pathlib import Path\n\n\n"
            "class T(unittest.TestCase):\n    def test_cli(self):\n"
            "        out = subprocess.run([sys.executable, '-m', 'calc', 'multiply', '6', '7'],\n"
            "                             cwd=Path(__file__).parent, capture_output=True, text=True, check=True)\n"
            "        self.assertEqual(out.stdout, '42\\n')\n"
        ),
    },
}
SECONDS = {"multiply": 4.0, "docs": 0.5}


def main(task: str) -> None:
    with Path("effects.log").open("a") as log:
        log.write(f"{task}\n")
    PACKAGE.mkdir(parents=True, exist_ok=True)
    if task == "docs" and Path("effects.log").read_text().split().count("docs") == 1:
        sys.exit("no space left on device (the first time)")
    steps = 8
    for step in range(steps):
        print(f"{task}: {100 * step // steps} %", flush=True)
        time.sleep(SECONDS.get(task, 0.2) / steps)
    for path, text in FILES[task].items():
        path.write_text(text)
        compile(text, str(path), "exec") if path.suffix == ".py" else None
        print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
