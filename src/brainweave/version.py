"""The version, told once."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("brainweave")
except PackageNotFoundError:  # run from a source tree that is not installed
    VERSION = "0+unknown"
