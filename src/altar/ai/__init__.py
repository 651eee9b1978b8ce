"""Language models, and the programs that call them, as tools with a contract. Importing this loads no framework."""
