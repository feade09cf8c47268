"""How tests run in a mutation run."""

from collections.abc import Sequence

import pytest
from hypothesis import Phase, settings

_OPTIONS = ("-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short")
# The libraries of the plugins are imported before the processes part.
_WARNINGS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


class _SameExamples:
    """A pytest plugin: Hypothesis tries the same examples each time, and does not look for smaller ones."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        settings.register_profile(
            "mutation",
            settings.get_profile(settings.get_current_profile_name()),
            database=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
        )
        settings.load_profile("mutation")


def run_pytest(files: Sequence[str], *plugins: object) -> int:
    """pytest's exit status, which is 0 if all tests passed."""
    return int(pytest.main([*_OPTIONS, *_WARNINGS, *files], plugins=[*plugins, _SameExamples()]))
