"""Small worlds with tools: what is declared of them, what a call does in them, and the shortest way to a goal."""
