"""Build hook: the four layers, which stand at the top of the repository, go inside the package."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LayersHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        for layer in ("derive", "kernels", "analysis", "reports"):
            link = Path(self.root, "src", "bptt", layer)
            if version == "standard":
                build_data["force_include"][str(Path(self.root, layer))] = f"bptt/{layer}"
            elif not link.is_dir():
                raise FileNotFoundError(
                    f"{link} should be a symbolic link to ../../{layer}, and an editable install needs it. "
                    "Clone again with `git clone -c core.symlinks=true`, or install without -e."
                )
