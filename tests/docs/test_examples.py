"""The examples of a custom relation source and a custom reader keep their contracts."""

import sys
from importlib import import_module
from pathlib import Path

from lkgrag.kg import relation_sources, unregister_relation_source

sys.path.append(str(Path(__file__).parents[2] / "docs" / "examples"))
# As the pages say, each in a test file beside the class.
TestOneSitting = import_module("test_one_sitting").TestOneSitting
TestShopLog = import_module("test_shop_log").TestShopLog
REGISTERED = "one_sitting" in relation_sources()
# The graphs of other tests are without it.
unregister_relation_source("one_sitting")


def test_the_decorator_registers_the_relation():
    assert REGISTERED
