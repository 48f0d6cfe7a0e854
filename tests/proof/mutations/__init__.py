"""Does the proof notice when a promise is broken? Each break of `breaks.py` is made in a copy of the code, and the
tests named with it must fail there.

    python -m tests.proof.mutations [NAME…]
"""
