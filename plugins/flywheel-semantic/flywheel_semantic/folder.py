"""A model is a folder: what is not there is never downloaded."""

from pathlib import Path

from flywheel.errors import PluginError


def model_folder(name: str, *, similarity: str) -> str:
    """The folder's path.

    Raises:
        PluginError: there is no such folder.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise PluginError(
            f"the similarity {similarity!r}: model = {name!r} is no folder on this machine. Nothing is downloaded: fetch the "
            "model yourself, and give the folder that holds it."
        )
    return str(folder.resolve())


def missing_package(package: str, *, similarity: str, extra: str) -> PluginError:
    """The error for a package that is not installed."""
    return PluginError(f"the similarity {similarity!r} needs {package}: `pip install 'flywheel-semantic[{extra}]'`.")
