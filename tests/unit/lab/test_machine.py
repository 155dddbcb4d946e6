"""Taking an engine's rules out of a machine's packet filter, and nobody else's."""

from __future__ import annotations

from orchestrator.lab.machine import rules_to_remove

SAVED = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:mine - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o wherry0 -j DOCKER
-A FORWARD -i wherry0 -o wherry0 -j ACCEPT
-A FORWARD -j mine
-A DOCKER-USER -j RETURN
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 192.168.0.0/16 -j MASQUERADE
COMMIT
"""


def test_an_engines_rules_go_first_then_its_chains():
    assert [" ".join(command[2:]) for command in rules_to_remove(SAVED)] == [
        "-t filter -D FORWARD -j DOCKER-USER",
        "-t filter -D FORWARD -o wherry0 -j DOCKER",
        "-t filter -D FORWARD -i wherry0 -o wherry0 -j ACCEPT",
        "-t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-t filter -F DOCKER",
        "-t filter -F DOCKER-USER",
        "-t nat -F DOCKER",
        "-t filter -X DOCKER",
        "-t filter -X DOCKER-USER",
        "-t nat -X DOCKER",
    ]


def test_a_machine_without_an_engine_keeps_every_rule():
    assert rules_to_remove("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j mine\nCOMMIT\n") == ()
