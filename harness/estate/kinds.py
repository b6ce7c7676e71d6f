"""The kinds of service, discovered in the packages under `harness.services`."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from harness import services
from harness.declaration import ServiceKind

_names = (f"{services.__name__}.{package.name}.kind" for package in pkgutil.iter_modules(services.__path__))
_kinds: Iterator[ServiceKind] = (importlib.import_module(name).KIND for name in _names)
KINDS: Mapping[str, ServiceKind] = {kind.name: kind for kind in _kinds}
EXAMPLES = tuple(kind for kind in KINDS.values() if kind.example)
