"""Where entries are sent on to: files, syslog, Datadog, Splunk, OTLP collectors, object stores.

A sink gets records in the order of their commits, some of them at a time, and says when it has them for good.
What is not acknowledged is sent again, so that each entry arrives at least once; its `id` tells doubles apart.
"""

from __future__ import annotations
