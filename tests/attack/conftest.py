from tests.e2e.conftest import registry, settings

__all__ = ["registry", "settings"]
