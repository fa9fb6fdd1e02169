"""Model metrics: what AI models did, how well and at what cost, and which to use for what."""
