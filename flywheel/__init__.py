"""Turn LLM application logs into training sets in which every row can be traced, explained and erased.

Importing this package loads nothing heavy; each stage is imported where it is used.
"""

from importlib.metadata import version

__version__ = version("flywheel")
