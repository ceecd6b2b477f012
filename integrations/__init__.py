"""Our networks inside other programs, whose modules may have the names of ours. Nothing of the project imports this."""
