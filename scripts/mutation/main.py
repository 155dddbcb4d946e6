"""Plants each chosen bug in a copy of the tree, runs the tests that can notice it, and reports which bugs survived.

A survivor is a missing test, or a change that means the same: look at each. The tree itself is never touched.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.reach import is_unit, reaching_tests
from scripts.mutation.trial import Copy

ROOT = Path(__file__).resolve().parents[2]
#: What decides without waiting, speaking or looking at the clock.
PURE = (
    "orchestrator/api/**/*.py",
    "orchestrator/controllers/*/*.py",
    "orchestrator/controllers/*.py",
    "orchestrator/scheduler/**/*.py",
    "orchestrator/server/writing/*.py",
    "orchestrator/server/gate/*.py",
    "orchestrator/server/authorization/*.py",
    "orchestrator/server/admission/*.py",
    "orchestrator/server/watches.py",
    "orchestrator/server/pages.py",
    "orchestrator/server/list_options.py",
    "orchestrator/server/requests.py",
    "orchestrator/server/negotiation.py",
    "orchestrator/server/expiry.py",
    "orchestrator/server/service_addresses.py",
    "orchestrator/server/address_repair.py",
    "orchestrator/store/chain.py",
    "orchestrator/store/history.py",
    "orchestrator/machinery/restarts.py",
    "orchestrator/machinery/backoff.py",
    "orchestrator/machinery/leader.py",
    "netproxy/rules.py",
    "netproxy/balance.py",
    "netproxy/dns/records.py",
    "node_agent/pods/decide.py",
    "node_agent/pods/status.py",
    "node_agent/pods/conditions.py",
    "node_agent/pods/environment.py",
)
_NOT = ("shell.py", "__init__.py", "context.py", "registry.py", "resources.py", "objects.py")


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug and the module it is for, relative to the tree."""

    module: Path
    mutant: Mutant


def main() -> int:
    """Run it; the exit status is 0 whatever survives, since some changes mean the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="how many bugs to plant (100)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (0: another one each time)")
    parser.add_argument("--tests-max", type=int, default=25, help="test files a bug is shown to, nearest first (25)")
    parser.add_argument(
        "--unit", action="store_true", help="show them to unit tests alone: quick, and some survive by it"
    )
    parser.add_argument("modules", nargs="*", type=Path, help="only these modules")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 30)
    planted = _sample(options.modules, options.count, random.Random(seed))
    reach = reaching_tests(ROOT)
    print(f"planting {len(planted)} bugs (--seed {seed})", flush=True)
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="wherry-mutate-") as folder:
        copy = Copy(ROOT, Path(folder))
        for number, one in enumerate(planted, start=1):
            tests = [test.relative_to(ROOT) for test in reach.get(ROOT / one.module, [])]
            tests = [test for test in tests if is_unit(test) or not options.unit][: options.tests_max]
            began = time.monotonic()
            noticed = copy.is_noticed(one.module, one.mutant.source, tests)
            survivors += not noticed
            sign = "noticed " if noticed else "SURVIVED"
            where = f"{one.module}:{one.mutant.line}"
            print(f"{number:4} {sign} {where}  {one.mutant.what}  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"\n{survivors} of {len(planted)} survived ({survivors / max(1, len(planted)):.0%})")
    return 0


def _sample(chosen: Sequence[Path], count: int, dice: random.Random) -> list[Planted]:
    modules = [path.resolve().relative_to(ROOT) for path in chosen] or _pure_modules()
    every = [Planted(module, mutant) for module in modules for mutant in mutants_of((ROOT / module).read_text())]
    return sorted(dice.sample(every, min(count, len(every))), key=lambda one: (one.module, one.mutant.line))


def _pure_modules() -> list[Path]:
    found = {path.relative_to(ROOT) for pattern in PURE for path in ROOT.glob(pattern)}
    return sorted(path for path in found if path.name not in _NOT and "views" not in path.parts)


if __name__ == "__main__":
    sys.exit(main())
