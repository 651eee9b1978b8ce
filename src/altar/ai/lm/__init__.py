"""Language models: one on this machine, scripted and recorded ones, and whatever a provider serves."""
