"""Small programs that use the project as a user would."""
