"""How the lab speaks with servers of models: ``wire`` has the bytes, ``streams`` the lines, a module each the
rest."""
