"""What people decide: artefacts with a lifecycle, approvals of calls, and what lets them be skipped."""
