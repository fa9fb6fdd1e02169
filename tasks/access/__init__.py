"""Who may do what: API keys with scopes, and the audit log of refusals and admin acts."""
