"""The frame cache: decoded frames of videos, resized, in files that are mapped into memory."""
