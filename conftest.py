"""What every test shares, the examples in docstrings included: where they are collected, and where kernels are kept."""

import hypothesis
import pytest
from page_blocks import collected as pytest_collect_file  # noqa: F401

# The layers are collected through src/bptt, as `bptt.derive` and so on: here they would load twice.
collect_ignore = ["derive", "kernels", "analysis", "reports"]
# Programs of others that are judged, and scripts that import what lies beside them or isn't installed.
collect_ignore += ["docs/conf.py", "docs/generated.py", "docs/page_blocks.py", "docs/_build", "docs/systems"]
collect_ignore += ["tests/analysis/theirs", "tests/analysis/weights", "benchmarks/check_code.py"]

# No test is timed, since other work may share the machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(pytestconfig):
    """Keep compiled kernels with this checkout, for all processes of a run: none is compiled twice, or left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BPTT_CACHE", str(pytestconfig.cache.mkdir("kernels")))
        yield
