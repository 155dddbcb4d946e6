"""The pods' network on this node: a bridge of Docker's, routes to the other nodes' pods, a few firewall rules."""
