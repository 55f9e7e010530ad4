"""Diagnosis: rules that read a table, and say what is wrong, where, since when and on what evidence.

`ef.diagnose(table)` judges one run. Everything here is a pure function of a table: nothing trains, and no framework is
imported.
"""

from evenflow.callable import make_callable

make_callable(__name__, f"{__name__}.engine")
