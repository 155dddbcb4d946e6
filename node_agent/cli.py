"""The command `wherry-node-agent`."""

from __future__ import annotations

import asyncio
import os
import sys

from node_agent.config import load
from node_agent.serve import clean_up, serve
from orchestrator.machinery import log
from orchestrator.machinery.kubeconfig import BadKubeconfig
from orchestrator.machinery.settings import BadConfig
from orchestrator.machinery.tasks import run_until_signalled


def main() -> None:
    """Run the agent until it is told to end, or remove everything of this node."""
    try:
        config, cleanup = load(sys.argv[1:], os.environ)
    except BadConfig as bad:
        sys.exit(f"wherry-node-agent: {bad}")
    log.configure(level=config.log_level)
    if cleanup:
        asyncio.run(clean_up(config))
        return
    try:
        run_until_signalled(lambda: serve(config))
    except (BadKubeconfig, OSError) as bad:
        sys.exit(f"wherry-node-agent: {bad}")


if __name__ == "__main__":
    main()
