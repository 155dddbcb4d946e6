"""Which service accounts a namespace lacks."""

from __future__ import annotations

from orchestrator.controllers.service_accounts.decide import decide as decide_accounts
from tests.support.controllers import a_namespace


def test_a_namespace_lacks_its_account_until_it_goes():
    assert decide_accounts(a_namespace(), ()) == ("default",)
    assert decide_accounts(a_namespace(), ("default",)) == ()
    assert decide_accounts(a_namespace(terminating=True), ()) == ()
