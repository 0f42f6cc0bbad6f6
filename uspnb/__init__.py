"""uspnb: a notebook-native workbench for online probabilistic prediction."""

from . import runtime as runtime
