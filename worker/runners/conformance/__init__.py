"""The conformance suite: what any runner must do, rule by rule, tried on the runner itself.

`python -m worker.runners.conformance module:function`, or from an author's tests: see docs/runners.md. Refused here:
judging what a runner says; two runs that differ because a model does are told apart from two that share something.
"""

from worker.runners.conformance.check import Finding, Outcome, check_rule
from worker.runners.conformance.rules import RULES
from worker.runners.conformance.subject import Rule

__all__ = ["RULES", "Finding", "Outcome", "Rule", "check_rule"]
