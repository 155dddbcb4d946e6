"""A pod's names on the network: hostname, /etc/hosts, resolv.conf; pure."""

from __future__ import annotations

from node_agent.pods.facts import NodeFacts
from orchestrator.api.views.pods import Pod

_HOSTNAME_MAX = 63
# The limits of resolv.conf that Kubernetes keeps to.
_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32


def hostname(pod: Pod) -> str:
    """What `hostname` says in the pod; its spec's, or its own name cut to 63 characters."""
    short = (pod.spec.hostname or pod.metadata.name)[:_HOSTNAME_MAX].rstrip("-.")
    return short


def domain(pod: Pod, facts: NodeFacts) -> str:
    """The domain of a pod with a subdomain; "" for all others."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{facts.cluster_domain}"


def runtime_hostname(pod: Pod, facts: NodeFacts) -> str:
    """The hostname to give the sandbox: the fully qualified one if the pod asks for it."""
    full_domain = domain(pod, facts)
    if pod.spec.set_hostname_as_fqdn and full_domain:
        return f"{hostname(pod)}.{full_domain}"
    return hostname(pod)


def hosts_file(pod: Pod, facts: NodeFacts, pod_ip: str) -> str:
    """The pod's /etc/hosts."""
    if pod.spec.host_network:
        lines = ["# Wherry-managed hosts file (host network).", facts.hosts.rstrip("\n")]
    else:
        short, full_domain = hostname(pod), domain(pod, facts)
        own = f"{pod_ip}\t{short}.{full_domain}\t{short}" if full_domain else f"{pod_ip}\t{short}"
        lines = [
            "# Wherry-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::\tip6-localnet",
            "fe00::\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
            *([own] if pod_ip else []),
        ]
    if pod.spec.host_aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join((alias.ip, *alias.hostnames)) for alias in pod.spec.host_aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(pod: Pod, facts: NodeFacts) -> str:
    """The pod's /etc/resolv.conf, by its DNS policy."""
    servers, searches, options = _by_policy(pod, facts)
    config = pod.spec.dns_config
    if config is not None:
        servers = _merged(servers, list(config.nameservers))
        searches = _merged(searches, list(config.searches))
        named = dict(option.partition(":")[::2] for option in options)
        named.update({option.name: option.value or "" for option in config.options})
        options = [f"{name}:{value}" if value else name for name, value in named.items()]
    lines = []
    if searches:
        lines.append("search " + " ".join(searches[:_SEARCHES_MAX]))
    lines += [f"nameserver {server}" for server in servers[:_NAMESERVERS_MAX]]
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n" if lines else ""


def _by_policy(pod: Pod, facts: NodeFacts) -> tuple[list[str], list[str], list[str]]:
    policy = pod.spec.dns_policy
    if policy == "None":
        return [], [], []
    servers, searches, options = _parsed(facts.resolv_conf)
    in_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
    if not in_cluster or not facts.cluster_dns:
        return servers, searches, options
    base = facts.cluster_domain
    cluster = [f"{pod.metadata.namespace}.svc.{base}", f"svc.{base}", base]
    return list(facts.cluster_dns), _merged(cluster, searches), ["ndots:5"]


def _parsed(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        match word:
            case "nameserver":
                servers += rest[:1]
            case "search" | "domain":
                searches = rest
            case "options":
                options = rest
    return servers, [one for one in searches if one != "."], options


def _merged(first: list[str], more: list[str]) -> list[str]:
    return list(dict.fromkeys([*first, *more]))
