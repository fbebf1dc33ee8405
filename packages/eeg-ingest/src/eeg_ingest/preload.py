"""What a worker on this machine imports while it starts, so that its first task finds everything there."""

import atexit
import gc

import eeg_ingest.audit.look
import eeg_ingest.task  # noqa: F401

# At its end Python would look through all objects for what can go, for a fifth of a second.
atexit.register(gc.freeze)
