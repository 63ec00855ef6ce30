"""Imitation learning by L2L's principle, beside generative adversarial imitation and cloning.

The paper of L2L (arXiv:1811.01213) says that its framework applies to generative adversarial
imitation learning and makes it steadier; the algorithm here is our own, see `response`. Nothing of
the image benchmark is used but its errors, files and progress. Needs the extra `imitation`.
"""
