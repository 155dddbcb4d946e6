"""`python -m orchestrator` is `wherry-orchestrator`."""

from orchestrator.supervisor import main

main()
