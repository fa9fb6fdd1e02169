"""Checks that inbox, journal, task states and Kafka tell the same story.

``check`` and ``wait_until_settled`` are the whole interface; the demo and the fault tests use it.
"""

from webapp.cli.agreement.check import check
from webapp.cli.agreement.report import AgreementReport, Finding
from webapp.cli.agreement.settling import Mark, Settled, wait_until_settled

__all__ = ["AgreementReport", "Finding", "Mark", "Settled", "check", "wait_until_settled"]
