"""ONEX: the envelope, the topics and the headers in which events leave the bridge."""
