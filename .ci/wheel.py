"""Builds the wheel, installs it without extras in an empty environment, and imports all of it there.

The wheel holds the files of `protocol/` and nothing else. A module whose optional dependency is missing says so
with the pip line that brings it.
"""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = ("benchmarks", "examples", "handlers", "schemas", "tests")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        compare(wheel)
        environment = Path(folder, "environment")
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", wheel)
        run(python, "-I", Path(__file__).resolve(), "--installed", cwd=environment)
        run(environment / "bin" / "protocol", "--help", cwd=environment, stdout=subprocess.DEVNULL)
        print(f"{wheel.name}: complete, and imports in an empty environment")


def build(folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def compare(wheel: Path) -> None:
    """Exit with what is missing or too much in the wheel."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "protocol").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if packed != source:
        sys.exit(f"{wheel.name} lacks {sorted(source - packed)} and has too much {sorted(packed - source)}")
    if "protocol/py.typed" not in packed:
        sys.exit(f"{wheel.name} lacks protocol/py.typed: checkers would ignore its annotations")


def import_everything() -> None:
    """Run by the Python of the empty environment."""
    for folder in NOT_SHIPPED:
        if importlib.util.find_spec(folder) is not None:
            sys.exit(f"the wheel installs {folder}, which belongs to the project and not to the package")
    package = importlib.import_module("protocol")
    for module in pkgutil.walk_packages(package.__path__, "protocol."):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if "pip install 'fastapi-protocol[" not in str(error):
                raise


def run(*command: str | Path, cwd: Path | None = None, stdout: int | None = None) -> None:
    if subprocess.run(command, cwd=cwd, stdout=stdout, check=False).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    import_everything() if "--installed" in sys.argv else main()
