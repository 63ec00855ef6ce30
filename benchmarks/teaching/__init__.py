"""A study of the active teacher (Ma & Ying 2020, arXiv:2012.07233); `benchmarks/active_teacher.py`
is its command.

In all of it, s students are trained side by side, each on data of its own: a tensor of points has
the shape (s, n, d), one of logits (s, n, k).
"""
