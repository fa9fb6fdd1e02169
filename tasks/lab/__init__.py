"""The AI Lab: asks models, chooses among them, and records what each attempt was like.

``model`` says what an endpoint is and ``asking`` what is asked; ``protocols`` speaks with the servers; ``endpoints``,
``requests`` and ``intents`` are the stores; ``service`` is what callers use, ``jobs`` what Celery runs.
"""
