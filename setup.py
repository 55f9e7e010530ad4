"""The compiled part of the package; everything else about it stands in pyproject.toml.

The extension is optional: where no C compiler is found the package installs without it and takes plain
PyTorch operations instead.
"""

import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
FOLDER = Path("src/evenflow/measure/kernels/native")
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")  # Python without its lock has no stable interface


def files(pattern: str) -> list[str]:
    """Paths relative to this file, as setuptools wants them."""
    return sorted(path.relative_to(HERE).as_posix() for path in (HERE / FOLDER).glob(pattern))


native = Extension(
    "evenflow.measure.kernels._native",
    sources=files("*.c"),
    depends=files("*.h"),
    extra_compile_args=["/O2"]
    if sys.platform == "win32"
    else ["-O3", "-g0", "-std=c11", "-fvisibility=hidden"],
    libraries=[] if sys.platform == "win32" else ["m"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE else [],
    py_limited_api=STABLE,
    optional=True,
)
setup(ext_modules=[native], options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {})
