"""The kinds of service, discovered in the packages under `harness.services`."""

import importlib
import pkgutil
from collections.abc import Mapping

from harness import services
from harness.declaration import ServiceKind


def _collect() -> Mapping[str, ServiceKind]:
    modules = (
        importlib.import_module(f"{services.__name__}.{m.name}.kind") for m in pkgutil.iter_modules(services.__path__)
    )
    return {module.KIND.name: module.KIND for module in modules}


KINDS = _collect()
EXAMPLES = tuple(kind for kind in KINDS.values() if kind.example)
