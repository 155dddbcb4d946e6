"""The command `wherry-netproxy`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from netproxy import routes
from netproxy.config import load
from netproxy.serve import serve
from orchestrator.machinery import log
from orchestrator.machinery.kubeconfig import BadKubeconfig, load_kubeconfig
from orchestrator.machinery.settings import BadConfig
from orchestrator.machinery.tasks import run_until_signalled


def main() -> None:
    """Run the proxy until it is told to end, or clean up after one that was killed."""
    try:
        config, cleanup = load(sys.argv[1:], os.environ)
    except BadConfig as bad:
        sys.exit(f"wherry-netproxy: {bad}")
    log.configure(level=config.log_level)
    if cleanup:
        try:
            asyncio.run(routes.remove_all())
        except routes.RouteError as refused:
            sys.exit(f"wherry-netproxy: {refused}")
        return
    try:
        server = load_kubeconfig(Path(config.kubeconfig))
    except (OSError, BadKubeconfig) as unusable:
        sys.exit(f"wherry-netproxy: {unusable}")
    run_until_signalled(lambda: serve(config, server))


if __name__ == "__main__":
    main()
