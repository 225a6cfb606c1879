"""Ways to say how similar texts are, one a file: texts in, pairs out. `[[duplicates]]` names them; plugins bring others."""
