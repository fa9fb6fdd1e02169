"""Workflow definitions: from YAML or JSON to checked, frozen values, and every mistake at once."""
