"""The doctor: looks at a model and its data, tries a short training on a copy, and says what is wrong.

>>> import evenflow as ef
>>> callable(ef.doctor)
True
"""

from evenflow.callable import make_callable

make_callable(__name__, f"{__name__}.consult")
