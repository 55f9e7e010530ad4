"""Diagnosis: rules that read a table, and say what is wrong, where, since when and on what evidence.

Everything here is a pure function of a table: nothing trains, and no framework is imported.
"""
