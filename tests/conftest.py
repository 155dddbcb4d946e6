"""Settings for all tests."""

from __future__ import annotations

import hypothesis

# No test asserts wall time, and a busy machine takes its time.
hypothesis.settings.register_profile("wherry", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("wherry")
