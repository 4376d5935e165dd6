"""The contract is asserted from a module that is no test module: pytest must explain its assertions all the same."""

import pytest

pytest.register_assert_rewrite("adapters.contract", "adapters.live")
