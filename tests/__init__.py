"""Tests of the workflow and of what it is made of."""
