"""Policies: rules in CEL that decide on calls, as a tenant wrote them.

Start reading at `policy` (what a policy and a bundle are), then `programs` (how they are compiled) and `check` (what
happens to a call).
"""
