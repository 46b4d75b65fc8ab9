"""How results are reported: intervals, tables over seeds, and claims with a criterion, a measurement and a verdict.

`interval_wilson`, `interval_mean`, `interval_bootstrap` and `interval_pairs` are 95 % intervals of a share, a mean over
seeds, a statistic of several seeds, and one of pairs of models. `seed_intervals` and `first_where` read labelled
results, such as those of a sweep. `read_criteria` reads what claims must show, `Criterion.judge` makes a `Claim` of it,
and a `Register` shows claims in a notebook: what the paper says, what other papers say, and our own questions.
`stored_claims` finds them in stored notebooks, and an `Account` says what they make of the paper, `Statement` by
statement.
"""

from toylib.reporting._claims import CLAIMS, Claim, Criterion, Register, read_criteria
from toylib.reporting._intervals import (
    Interval,
    Share,
    interval_bootstrap,
    interval_mean,
    interval_pairs,
    interval_wilson,
)
from toylib.reporting._seeds import First, first_where, seed_intervals
from toylib.reporting._statements import Account, Found, Statement, claims_in, read_statements, stored_claims

__all__ = [
    "CLAIMS",
    "Account",
    "Claim",
    "Criterion",
    "First",
    "Found",
    "Interval",
    "Register",
    "Share",
    "Statement",
    "claims_in",
    "first_where",
    "interval_bootstrap",
    "interval_mean",
    "interval_pairs",
    "interval_wilson",
    "read_criteria",
    "read_statements",
    "seed_intervals",
    "stored_claims",
]
