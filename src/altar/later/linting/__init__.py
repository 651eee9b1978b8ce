"""What makes a tool bad for models or for promotion: the rules, the facts they look at, the findings."""
