"""Runs one of the control plane's processes: reads the settings, sets up logging, and hands over."""

from __future__ import annotations

import importlib
import os
import sys

# structlog loads rich wherever it is installed, for tracebacks on terminals: 5 MB in each of three daemons.
sys.modules["rich"] = None  # type: ignore[assignment]

from orchestrator.config import BadConfig, load  # noqa: E402
from orchestrator.machinery import log  # noqa: E402
from orchestrator.machinery.clock import SystemClock  # noqa: E402
from orchestrator.machinery.leader import lost_in  # noqa: E402
from orchestrator.machinery.tasks import run_until_signalled  # noqa: E402
from orchestrator.serve.process import die_with_parent  # noqa: E402
from orchestrator.supervisor import EXIT_CONFIG  # noqa: E402

logger = log.get_logger("orchestrator.serve")

# Imported by name when chosen: no process carries another's modules in its memory.
_MODULES = {
    "api-server": "orchestrator.serve.api_server",
    "controllers": "orchestrator.serve.controllers",
    "scheduler": "orchestrator.serve.scheduler",
}


def main() -> None:
    """Run until SIGTERM. Exits with `EXIT_CONFIG` where starting again would not help."""
    process = sys.argv[1] if len(sys.argv) > 1 else ""
    if process not in _MODULES:
        sys.exit(f"usage: python -m orchestrator.serve {{{'|'.join(_MODULES)}}} [settings]")
    die_with_parent()
    try:
        config = load(sys.argv[2:], os.environ, program=f"orchestrator.serve {process}")
        log.configure(level=config.log_level)
        module = importlib.import_module(_MODULES[process])
        run_until_signalled(lambda: module.run(config, SystemClock()))
    except BadConfig as exc:
        sys.stderr.write(f"{process}: {exc}\n")
        sys.exit(EXIT_CONFIG)
    except Exception as failure:
        if (lost := lost_in(failure)) is not None:
            logger.warning("process.leads_no_more", process=process, why=str(lost))
            sys.exit(1)
        # The supervisor starts us again; here is the only place where the reason is still known.
        logger.exception("process.failed", process=process)
        sys.exit(1)


if __name__ == "__main__":
    main()
