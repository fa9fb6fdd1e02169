"""The hook capability: accepts webhooks as inbox rows and handles each of them."""
