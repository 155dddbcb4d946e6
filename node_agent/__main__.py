"""`python -m node_agent` is the command `wherry-node-agent`."""

from node_agent.cli import main

main()
