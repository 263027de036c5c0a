"""What the tests of the plugin share."""

import pytest

SERIAL_AND_PARALLEL = pytest.mark.parametrize(
    "how", [(), pytest.param(("-n", "2"), marks=pytest.mark.long)], ids=["serial", "parallel"]
)
